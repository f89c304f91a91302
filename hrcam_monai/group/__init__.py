"""Maps of many subjects in one space: means, differences between groups, peaks and sides."""

"""`group.md`: what a group analysis found, to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hrcam_monai.utils.tables import interval, table

__all__ = ["markdown"]


def markdown(summary: Mapping[str, Any]) -> str:
    """The page: groups and their sides, peaks of each map, how it was made."""
    groups = summary["groups"]
    text = [f"# Maps of '{summary['map_class']}', {summary['subjects']} subjects", ""]
    text += ["![alignment](alignment.png)", ""]
    lines = []
    for name, g in groups.items():
        sides = [interval(g, "laterality"), str(g["sided"]), f"{g['left']} / {g['right']}"]
        lines.append([name, str(g["subjects"]), f"{g['largest']:.3f}", *sides])
    text += table(["group", "n", "mean map, largest", "laterality", "of", "left / right"], lines)
    text += [
        f"Laterality: (left - right) / (left + right) of the map's positive values in {summary['regions']}; mean with 95 % "
        "bootstrap interval, of how many subjects (others have no positive value there), and how many lie on either side.",
        "",
    ]
    for name, found in summary["maps"].items():
        text += [f"## {found['title']}", ""]
        text += [f"![{name}]({picture})" for picture in found["pictures"]]
        text += [""] if found["pictures"] else []
        text += _peaks(found["peaks"]) if found["peaks"] else ["No peak.", ""]
    text += [f"- {note}" for note in summary["notes"]]
    return "\n".join(text).rstrip() + "\n"


def _peaks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of peaks; p where there is one."""
    tested = "p" in rows[0]
    head = ["cluster", "x", "y", "z", "value", "cluster, mm3", *(["p, corrected"] if tested else [])]
    lines = []
    for row in rows:
        line = [str(row["cluster"]), *(f"{row[axis]:.0f}" for axis in "xyz"), f"{row['value']:.2f}", f"{row['cluster_mm3']:.0f}"]
        lines.append([*line, *([f"{row['p']:.3f}"] if tested else [])])
    return table(head, lines)

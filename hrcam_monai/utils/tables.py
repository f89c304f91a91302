"""Tables in Markdown, and numbers with their intervals in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["interval", "table"]


def interval(line: Mapping[str, Any], key: str, digits: int = 3) -> str:
    """Value and 95 % interval as 0.812 [0.700, 0.910]; empty where there is none.

    Example:
        >>> interval({"auc": 0.5, "auc_ci95": [0.25, 0.75]}, "auc")
        '0.500 [0.250, 0.750]'
    """
    if key not in line:
        return ""
    low, high = line[f"{key}_ci95"]
    return f"{line[key]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""Lines of a Markdown table and an empty one after it; bars in cells are escaped.

    Example:
        >>> table(["a", "b"], [["1", "|t|"]])
        ['| a | b |', '|---|---|', '| 1 | \\|t\\| |', '']
    """
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (head, *rows)]
    first, *others = (f"| {' | '.join(line)} |" for line in cells)
    return [first, "|" + "---|" * len(head), *others, ""]

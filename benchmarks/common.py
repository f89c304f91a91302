"""Shared by the benchmarks: names, and where results go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hrcam_monai.utils import tables
from hrcam_monai.utils.environment import environment

__all__ = ["MIDBRAIN", "OURS", "PLAIN", "RESULTS", "ROOT", "RealData", "environment", "fill", "table", "write_json"]

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PLAIN = "plain forward"  # names of methods that tables compare
MIDBRAIN = (0.0, -20.0, -15.0)  # in the template, mm: the --roi of docs/tasks.md
RealData = Annotated[Path, typer.Option(help="Folder of the real data.")]
OURS = ("HR-CAM, gap", "HR-CAM, lse")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result, and its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(tables.table(head, rows))


def fill(page: Path, name: str, text: str) -> None:
    """Put a table into a page of the documents, between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.read_text().split(start)
    page.write_text(f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}")

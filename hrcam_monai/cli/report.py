"""The page of a finished inference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    source: Annotated[Path | None, typer.Option(help="What inference was run on; masks of its manifest are shown.")] = None,
    max_viewers: Annotated[int | None, typer.Option(min=0, help="Subjects that the viewer shows; all by default.")] = None,
) -> None:
    """Write overlays, viewer and report.html of a finished inference again."""
    from hrcam_monai.report import write_report

    write_report(output_dir, max_viewers=max_viewers, source=source)

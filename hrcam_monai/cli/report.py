"""The page of a finished inference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    max_viewers: Annotated[int, typer.Option(min=0, help="Subjects with an interactive viewer.")] = 50,
) -> None:
    """Write the overlays and report.html of a finished inference again."""
    from hrcam_monai.report import write_report

    write_report(output_dir, max_viewers)

"""Maps as DICOM objects."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["dicom"]


def dicom(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    keep_patient: Annotated[
        bool, typer.Option("--keep-patient", help="Copy patient and study from the source; otherwise they stay empty.")
    ] = False,
    source: Annotated[Path | None, typer.Option(help="DICOM folder that prepare read, if it made the scans.")] = None,
) -> None:
    """Write the maps of DICOM series as DICOM Parametric Maps and Segmentations, beside the slices they came from."""
    from hrcam_monai.report.dicom import write_dicom

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = write_dicom(output_dir, keep_patient, source)
    typer.echo(f"dicom: {path}")

"""The bundle to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import BUNDLE, BundleRoot

__all__ = ["package", "verify"]


def package(
    output: Annotated[Path, typer.Option(help="Folder for brain_mri_hrcam/ and brain_mri_hrcam.zip.")],
    bundle_root: BundleRoot = BUNDLE,
) -> None:
    """Make the self-contained bundle to share: it runs unpacked anywhere, without hrcam-monai installed."""
    from hrcam_monai.workflows.package import build_package

    path = build_package(output, bundle_root)
    typer.echo(f"folder: {path.with_suffix('')}")
    typer.echo(f"zip: {path} ({path.stat().st_size / 2**20:.1f} MB)")


def verify(path: Annotated[Path, typer.Argument(help="brain_mri_hrcam.zip, or the folder unpacked from it.")]) -> None:
    """See that a package is whole, by its SHA256SUMS."""
    from hrcam_monai.workflows.package import verify_package

    files = verify_package(path)
    typer.echo(f"{path}: {files} files, all whole")

"""The bundle to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import BUNDLE, BundleRoot, Overlays

__all__ = ["package", "verify"]


def package(
    output: Annotated[Path, typer.Option(help="Folder for the bundle and its zip.")],
    bundle_root: BundleRoot = BUNDLE,
    model: Annotated[
        Path | None, typer.Option(help="Folder, or weights, of the one model to share, ready to run without overlays.")
    ] = None,
    overlay: Overlays = None,
    name: Annotated[
        str, typer.Option(help="Of the bundle's folder; MONAI Label reads the kind of model from it.")
    ] = "brain_mri_hrcam",
) -> None:
    """Make the self-contained bundle to share: it runs unpacked anywhere, without hrcam-monai installed."""
    from hrcam_monai.workflows.package import build_package

    path = build_package(output, bundle_root, model=model, overlays=overlay or None, name=name)
    typer.echo(f"folder: {path.with_suffix('')}")
    typer.echo(f"zip: {path} ({path.stat().st_size / 2**20:.1f} MB)")


def verify(path: Annotated[Path, typer.Argument(help="The zip, or the folder unpacked from it.")]) -> None:
    """See that a package is whole, by its SHA256SUMS."""
    from hrcam_monai.workflows.package import verify_package

    files = verify_package(path)
    typer.echo(f"{path}: {files} files, all whole")

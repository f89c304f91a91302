"""Maps of a group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import page

__all__ = ["group"]


def group(
    folder: Annotated[Path, typer.Argument(help="What inference or cross-validate wrote, with --map_class NAME.")],
    output: Annotated[Path, typer.Option(help="Folder of the maps, tables and figures.")],
    dataset_dir: Annotated[
        Path | None, typer.Option(help="Folder of the cohort's manifest.json: labels, regions, covariates.")
    ] = None,
    spacing: Annotated[int, typer.Option(min=1, help="Voxel size in template space, mm.")] = 2,
    fwhm: Annotated[float, typer.Option(min=0.0, help="Smoothing of the maps, mm.")] = 4.0,
    signed: Annotated[bool, typer.Option("--signed", help="Count values below zero, too.")] = False,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Number in the manifest's entries to take out, such as age; may be repeated.")
    ] = None,
    permutations: Annotated[int, typer.Option(min=99, help="Of the max-statistic test.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of permutations and bootstrap.")] = 0,
) -> None:
    """Group maps of registered scans: means, difference with a permutation test, peaks in MNI coordinates, sides."""
    from hrcam_monai.group.run import group_maps

    with page(output / "group.md"):
        group_maps(folder, output, dataset_dir, spacing, fwhm, signed, covariate or (), permutations, seed)

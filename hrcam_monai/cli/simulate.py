"""A simulated cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["simulate"]


def simulate(
    output: Annotated[Path, typer.Option(help="Folder of the cohort; a second call finishes what a first one left.")],
    task: Annotated[
        str,
        typer.Option(help="What is simulated, as abnormalities or parkinson_nm; a name that is not known tells all."),
    ] = "abnormalities",
    subjects: Annotated[int, typer.Option(min=1, help="Subjects over all splits; the classes take turns.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    spacing: Annotated[
        float | None, typer.Option(min=0.5, help="Voxel size, mm: 2 (abnormalities), 1 or 0.75 if not given.")
    ] = None,
    anatomy: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="Skull-stripped T1, or a folder of them, may be repeated; ICBM152 if not given."),
    ] = None,
    split: Annotated[
        tuple[float, float, float], typer.Option(metavar="TRAIN VAL TEST", help="Shares of the splits: three numbers.")
    ] = (4, 1, 1),
    oblique: Annotated[int, typer.Option(min=0, help="Last subjects written as an oblique, LPS file.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core if not given.")] = None,
) -> None:
    """Make a simulated cohort on real anatomy: images, lesion masks and a manifest."""
    from hrcam_monai.phantoms.simulate import simulate_cohort

    path = simulate_cohort(output, subjects, seed, spacing, anatomy or (), split, oblique, workers, task)
    typer.echo(f"manifest: {path}")

"""The few commands that `python -m monai.bundle` has no verb for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def fail(error: Exception) -> typer.Exit:
    """Say in one line what is wrong; the command ends with status 1."""
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(1)


@app.callback()
def main() -> None:
    """HR-CAM for MONAI. Train, evaluate and infer with `python -m monai.bundle run`."""


@app.command()
def simulate(
    output: Annotated[Path, typer.Option(help="Folder of the cohort; a second call finishes what a first one left.")],
    subjects: Annotated[int, typer.Option(min=1, help="Subjects over all splits; half are abnormal.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    spacing: Annotated[float, typer.Option(min=0.5, help="Isotropic voxel size, mm.")] = 2.0,
    anatomy: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Skull-stripped T1, may be repeated; ICBM152 if not given."),
    ] = None,
    split: Annotated[tuple[float, float, float], typer.Option(help="Shares of training, validation and test.")] = (4, 1, 1),
    oblique: Annotated[int, typer.Option(min=0, help="Last subjects written as an oblique, LPS file.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core if not given.")] = None,
) -> None:
    """Make a cohort of simulated abnormalities on real anatomy: images, lesion masks and a manifest."""
    from hrcam_monai.data.simulate import simulate_cohort

    try:
        path = simulate_cohort(output, subjects, seed, spacing, anatomy or (), split, oblique, workers)
    except (ValueError, OSError) as error:
        raise fail(error) from None
    typer.echo(f"manifest: {path}")


@app.command()
def report(
    output_dir: Annotated[Path, typer.Argument(help="Folder that inference wrote.")],
    max_viewers: Annotated[int, typer.Option(min=0, help="Subjects with an interactive viewer.")] = 50,
) -> None:
    """Write the overlays and report.html of a finished inference again."""
    from hrcam_monai.report import write_report

    try:
        write_report(output_dir, max_viewers)
    except FileNotFoundError as error:
        raise fail(error) from None


if __name__ == "__main__":
    app(prog_name="python -m hrcam_monai")

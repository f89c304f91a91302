"""What the commands share: options of one name and meaning, how an error is told, and how a page is."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BUNDLE", "DEBUG", "BundleRoot", "FoundBundle", "Model", "Overlays", "Settings", "errors_told", "fail", "page"]

DEBUG = "HRCAM_DEBUG"  # variable that brings the traceback of an error that a user can mend
BUNDLE = Path("bundle")  # where it lies in a clone of the repository
BundleRoot = Annotated[Path, typer.Option(help="Folder of the bundle.")]
FoundBundle = Annotated[Path | None, typer.Option(help="Folder of the bundle; found if not given.")]
Model = Annotated[Path, typer.Argument(help="Folder of model.pt and network.json, or a file of weights.")]
Overlays = Annotated[
    list[str] | None,
    typer.Option("--overlay", help="Config of the training, may be repeated: a file, or a name such as two_stage."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, may be repeated: an option of the bundle, such as epochs=10.")
]


def fail(error: object) -> typer.Exit:
    """Say in one line what is wrong; the command ends with status 1."""
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(1)


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell in one line what a user can mend, whatever command raised it; a fault of ours keeps its traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort):  # they are RuntimeErrors
        raise
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        from hrcam_monai.data.failures import reason

        if os.environ.get(DEBUG):
            traceback.print_exc()
        raise fail(reason(error)) from None


@contextmanager
def page(path: Path) -> Iterator[None]:
    """Print the page that is written meanwhile, also when subjects were left out of it."""
    status = None
    try:
        yield
    except SystemExit as stop:  # of Failures, at the very end
        status = stop
    if path.is_file():
        typer.echo(f"{path.read_text()}\nresults: {path.parent}")
    if status:
        raise status

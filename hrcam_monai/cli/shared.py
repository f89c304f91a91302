"""What the commands share: how an error is told, and how a page is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer


def fail(error: object) -> typer.Exit:
    """Say in one line what is wrong; the command ends with status 1."""
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(1)


@contextmanager
def page(path: Path) -> Iterator[None]:
    """Print the page that is written meanwhile, also when subjects were left out of it; tell an error in one line."""
    from hrcam_monai.data.failures import reason

    status = None
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise fail(reason(error)) from None
    except SystemExit as stop:  # of Failures, at the very end
        status = stop
    if path.is_file():
        typer.echo(f"{path.read_text()}\nresults: {path.parent}")
    if status:
        raise status

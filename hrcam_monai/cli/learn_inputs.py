"""What a model's training images were like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import fail


def learn_inputs(
    model: Annotated[Path, typer.Argument(help="Folder of model.pt and network.json, or a file of weights.")],
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of the manifest.json that it was trained on.")],
    bundle_root: Annotated[Path | None, typer.Option(help="Folder of the bundle; found if not given.")] = None,
) -> None:
    """Let a model that was trained without it tell scans that are unlike its training: write inputs.pt beside it."""
    from hrcam_monai.data.failures import reason
    from hrcam_monai.workflows.inputs import learn_inputs as learn

    try:
        typer.echo(f"inputs: {learn(model, dataset_dir, bundle_root)}")
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise fail(reason(error)) from None

"""What a model's training images were like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import FoundBundle, Model, Overlays

__all__ = ["learn_inputs"]


def learn_inputs(
    model: Model,
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of the manifest.json that it was trained on.")],
    overlay: Overlays = None,
    bundle_root: FoundBundle = None,
) -> None:
    """Let a model that was trained without it tell scans that are unlike its training: write inputs.pt beside it."""
    from hrcam_monai.workflows.inputs import learn_inputs as learn

    typer.echo(f"inputs: {learn(model, dataset_dir, bundle_root, overlays=overlay or None)}")

"""HR-CAM for a CNN that is trained already."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import BUNDLE, BundleRoot, Overlays

__all__ = ["fit_head"]


def fit_head(
    backbone: Annotated[Path, typer.Option(help="MONAI config of the CNN: _target_ and arguments.")],
    checkpoint: Annotated[Path, typer.Option(help="Its weights: a state dict, or a checkpoint that holds one.")],
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json.")],
    output: Annotated[Path, typer.Option(help="Folder for model.pt, backbone.json and head_fit.json.")],
    taps: Annotated[list[str] | None, typer.Option(help="Module to tap, may be repeated; found if not given.")] = None,
    bundle_root: BundleRoot = BUNDLE,
    config: Annotated[Path | None, typer.Option(help="Preprocessing; train.json of the bundle if not given.")] = None,
    overlay: Overlays = None,
    cache: Annotated[Path | None, typer.Option(help="File that keeps the pooled features for another call.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Held-out AUC that may be given for better maps.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the slices drawn and of the images kept.")] = 0,
) -> None:
    """Give HR-CAM to a CNN that is trained already: fit the head on the training subjects, no masks needed."""
    from hrcam_monai.fit.command import fit_classifier

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = (taps or (), bundle_root, config, overlay or (), cache, tolerance, seed)
    fit_classifier(backbone, checkpoint, dataset_dir, output, *chosen)
    typer.echo(f"weights: {output / 'model.pt'}")
    typer.echo(f"config to list after evaluate.json or inference.json: {output / 'backbone.json'}")

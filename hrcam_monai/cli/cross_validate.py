"""Cross-validation by subject."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import BUNDLE, BundleRoot, Overlays, Settings, page

__all__ = ["cross_validate"]


def cross_validate(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json; its splits are pooled.")],
    output: Annotated[Path, typer.Option(help="Folder of the results; a second call goes on where a first one stopped.")],
    config: Annotated[Path | None, typer.Option(help="Of training; train.json of the bundle if not given.")] = None,
    overlay: Overlays = None,
    folds: Annotated[int, typer.Option(help="Every subject is held out in one of them.")] = 5,
    seed: Annotated[int, typer.Option(help="Of folds, training, bootstrap and permutations.")] = 0,
    setting: Settings = None,
    bundle_root: BundleRoot = BUNDLE,
    baseline: Annotated[bool, typer.Option(help="Simple classifiers on the same folds, beside the network.")] = True,
    gpus: Annotated[str | None, typer.Option(help="Ids, as 0,1: a fold on each at a time; else one after another.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Clear what an earlier call has made.")] = False,
) -> None:
    """Cross-validate by subject: out-of-fold predictions and maps, measures with intervals, and simple baselines."""
    from hrcam_monai.cross_validation.run import cross_validate as run
    from hrcam_monai.cross_validation.run import gpu_ids

    with page(output / "cross_validation.md"):
        options = (config, overlay or (), folds, seed, setting or (), bundle_root, baseline, gpu_ids(gpus), restart)
        run(dataset_dir, output, *options)

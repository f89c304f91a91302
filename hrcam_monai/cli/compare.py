"""HR-CAM beside other methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import BUNDLE, BundleRoot, Overlays, page

__all__ = ["compare"]


def compare(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of manifest.json, with masks.")],
    output: Annotated[Path, typer.Option(help="Folder of the tables and figures.")],
    network: Annotated[
        list[str],
        typer.Option(help="NAME=WEIGHTS[:OVERLAY], may be repeated: an HR-CAM network, or the weights of its backbone alone."),
    ],
    peers_on: Annotated[
        list[str] | None, typer.Option(help="Networks that the peers run on; by default the plain classifiers.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="Peers to run; all that are not slow if not given.")] = None,
    slow: Annotated[bool, typer.Option(help="Occlusion and Score-CAM too.")] = False,
    alike: Annotated[bool, typer.Option(help="LayerCAM and Grad-CAM also read through HR-CAM's flips and slices.")] = True,
    overlay: Overlays = None,
    split: Annotated[str, typer.Option(help="Section of the manifest.")] = "test",
    faithfulness: Annotated[int, typer.Option(min=0, help="Subjects that get deletion and insertion too (slow).")] = 0,
    panels: Annotated[int, typer.Option(min=0, help="Subjects that get a picture.")] = 6,
    bundle_root: BundleRoot = BUNDLE,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the rows that are there.")] = False,
) -> None:
    """Show HR-CAM beside CAM, Grad-CAM, Grad-CAM++, LayerCAM...: a table with intervals, and figures."""
    from hrcam_monai.compare.command import compare as run

    chosen = {
        "peers_on": peers_on or None,
        "methods": method or None,
        "slow": slow,
        "alike": alike,
        "panels": panels,
        "seed": seed,
        "resume": resume,
    }
    with page(output / "comparison.md"):
        run(dataset_dir, output, network, bundle_root, split, overlay or (), faithfulness=faithfulness, **chosen)

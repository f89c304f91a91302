"""The README's picture: HR-CAM beside LayerCAM and Grad-CAM on heads that no network has seen, one of each grade.

python benchmarks/picture.py --cohort work/figure
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from common import ROOT
from matplotlib.figure import Figure

from hrcam_monai.compare import PeerMaps
from hrcam_monai.compare.command import bundle_parser, load_candidate
from hrcam_monai.data import load_manifest
from hrcam_monai.report.figures import draw_map

BUNDLE = ROOT / "bundle"
GRADES = ("plain", "moderate", "faint")
SHOWN = {
    "HR-CAM, joint": "HR-CAM",
    "TorchCAM LayerCAM, level 2 (base)": "LayerCAM, best level",
    "MONAI Grad-CAM (base)": "Grad-CAM",
}


def main(
    cohort: Annotated[Path, typer.Option(help="Simulated cohort with a test split.")],
    joint: Annotated[Path, typer.Option(help="Weights of train.json.")] = BUNDLE / "models" / "model.pt",
    base: Annotated[Path, typer.Option(help="Plain CNN.")] = ROOT / "benchmarks" / "models" / "base_cnn.pt",
    output: Annotated[Path, typer.Option(help="PNG.")] = ROOT / "docs" / "figures" / "comparison.png",
) -> None:
    """Draw the first head of each grade, on the slice with most lesion; each map on its own colour scale."""
    network, classifier = load_candidate(BUNDLE, f"joint={joint}"), load_candidate(BUNDLE, f"base={base}")
    peers = PeerMaps(classifier, ["TorchCAM LayerCAM", "MONAI Grad-CAM"])
    preprocessing = bundle_parser(BUNDLE).get_parsed_content("preprocessing")
    items = load_manifest(cohort).items("test", masks=True)
    figure = Figure(figsize=(2.6 * (len(SHOWN) + 1), 3.1 * len(GRADES)), layout="constrained")
    for line, grade in zip(figure.subplots(len(GRADES), len(SHOWN) + 1), GRADES, strict=True):
        item = next(i for i in items if i["grade"] == grade)
        data = preprocessing(item)
        image, mask = data["image"].as_tensor(), data["mask"][0].numpy() > 0.5
        z = int(mask.sum((0, 1)).argmax())
        maps = network.read(image[None], 1)[1] | peers(image[None], 1)
        draw_map(line[0], image[0, :, :, z].numpy(), mask=mask[:, :, z])
        line[0].set_title(f"{item['subject']}, {grade}", fontsize=9)
        for ax, (name, title) in zip(line[1:], SHOWN.items(), strict=True):
            draw_map(ax, image[0, :, :, z].numpy(), np.clip(maps[name][:, :, z].numpy(), 0, None), mask[:, :, z])
            ax.set_title(title, fontsize=9)
    figure.savefig(output, dpi=90)
    typer.echo(f"figure: {output}")


if __name__ == "__main__":
    typer.run(main)

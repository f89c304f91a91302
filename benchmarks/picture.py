"""HR-CAM beside LayerCAM and Grad-CAM on subjects that no network has seen, the first of each grade.

The heads of a cohort, by the bundle's weights:

    python benchmarks/picture.py --cohort work/figure --grade plain --grade moderate --grade faint

or those held out of a cross-validation's first fold:

    python benchmarks/picture.py --folds work/parkinson_nm_folds --grade mild --grade severe --level 3 --output nigra.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from common import ROOT
from matplotlib.figure import Figure

from hrcam_monai.compare import PeerMaps
from hrcam_monai.compare.command import load_candidate
from hrcam_monai.figures import draw_map
from hrcam_monai.workflows.configs import bundle_parser

BUNDLE = ROOT / "bundle"


def main(
    grade: Annotated[list[str], typer.Option(help="Rows of the picture, as the manifest has them; may be repeated.")],
    cohort: Annotated[Path | None, typer.Option(help="Simulated cohort with a test split, for the bundle's weights.")] = None,
    folds: Annotated[Path | None, typer.Option(help="Cross-validation in place of it: its first fold, those held out.")] = None,
    level: Annotated[int, typer.Option(min=1, help="Of LayerCAM: the one that was best by masks.")] = 2,
    output: Annotated[Path, typer.Option(help="PNG.")] = ROOT / "docs" / "figures" / "comparison.png",
) -> None:
    """Draw the first subject of each grade, on the slice with most lesion; each map on its own colour scale."""
    if (cohort is None) == (folds is None):
        raise typer.BadParameter("give either --cohort or --folds.")
    if folds is not None:
        cohort, overlays = folds / "fold_0", [str(folds / "configs" / "evaluate.json")]
        weights = {"joint": cohort / "model.pt", "base": cohort / "base_cnn.pt"}
    else:
        overlays = []
        weights = {"joint": BUNDLE / "models" / "model.pt", "base": ROOT / "benchmarks" / "models" / "base_cnn.pt"}
    network, classifier = (load_candidate(BUNDLE, f"{name}={file}", overlays) for name, file in weights.items())
    peers = PeerMaps(classifier, methods=["TorchCAM LayerCAM", "MONAI Grad-CAM"])
    shown = {
        "HR-CAM, joint": "HR-CAM",
        f"TorchCAM LayerCAM, level {level} (base)": f"LayerCAM, best level ({level})",
        "MONAI Grad-CAM (base)": "Grad-CAM",
    }
    parser = bundle_parser(BUNDLE, overlays, dataset_dir=str(cohort))
    preprocessing = parser.get_parsed_content("preprocessing")
    items = parser.get_parsed_content("manifest").items("test", masks=True)
    figure = Figure(figsize=(2.6 * (len(shown) + 1), 3.1 * len(grade)), layout="constrained")
    for line, name in zip(figure.subplots(len(grade), len(shown) + 1, squeeze=False), grade, strict=True):
        item = next(i for i in items if i["grade"] == name)
        data = preprocessing(item)
        image, mask = data["image"].as_tensor(), data["mask"][0].numpy() > 0.5
        z = int(mask.sum((0, 1)).argmax())
        maps = network.read(image[None], item["label"])[1] | peers(image[None], item["label"])
        draw_map(line[0], image[0, :, :, z].numpy(), mask=mask[:, :, z])
        line[0].set_title(f"{item['subject']}, {name}", fontsize=9)
        for ax, (method, title) in zip(line[1:], shown.items(), strict=True):
            draw_map(ax, image[0, :, :, z].numpy(), heat=np.clip(maps[method][:, :, z].numpy(), 0, None), mask=mask[:, :, z])
            ax.set_title(title, fontsize=9)
    figure.savefig(output, dpi=90)
    typer.echo(f"figure: {output}")


if __name__ == "__main__":
    typer.run(main)

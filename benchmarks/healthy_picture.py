"""The maps of healthy people where they are highest: what a network takes for a lesion that is none.

python benchmarks/healthy_picture.py --data ../shared/data --weights work/people_0/model.pt \
    --results benchmarks/results/people/healthy_heads.json --output docs/figures/people_healthy.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from common import ROOT, RealData
from healthy_heads import SITES
from matplotlib.figure import Figure
from tqdm import tqdm

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.figures import draw_map
from hrcam_monai.workflows.model_folder import fitting_parser

SITE, COLUMNS = "OASIS", 5


@torch.no_grad()
def main(
    data: RealData,
    weights: Annotated[Path, typer.Option(help="Network.")],
    results: Annotated[Path, typer.Option(help="JSON file of healthy_heads.py, which has the operating points.")],
    output: Annotated[Path, typer.Option(help="PNG file.")],
) -> None:
    """Draw each head on the slice of its map's peak, the highest first; a ring is an evidence above the operating point."""
    torch.set_num_threads(1)
    files = sorted((data / SITES[SITE]).glob("*.nii.gz"))
    if not files:
        typer.echo(f"no real data at {data}; nothing is drawn.")
        return
    point = json.loads(results.read_text())["sites"][0]["plain lesions"]["point"]
    candidate = load_candidate(ROOT / "bundle", f"people={weights}")
    preprocessing = fitting_parser(weights, ROOT / "bundle").get_parsed_content("preprocessing")
    found = []
    for file in tqdm(files, unit="head"):
        image = preprocessing({"image": str(file)})["image"].as_tensor()
        out = candidate.inferer(image[None], candidate.network)
        heat, p = out["maps"][0, 1].numpy(), float(out["logits"][0].softmax(0)[1])
        z = int(np.unravel_index(heat.argmax(), heat.shape)[2])
        found.append(
            (float(heat.max()), f"{file.name[:4]}, p {p:.2f}, peak {heat.max():.1f}", image[0, :, :, z].numpy(), heat[:, :, z])
        )
    rows = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 2.5, rows * 2.9), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (_, title, picture, heat) in zip(axes.flat, sorted(found, key=lambda f: -f[0]), strict=False):
        draw_map(ax, picture, heat=np.clip(heat, 0, None), mask=heat > point)
        ax.set_title(title, fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=90)
    typer.echo(f"picture: {output}")


if __name__ == "__main__":
    typer.run(main)

"""The ten worst maps: which they are, and a picture of each beside the lesion.

    python benchmarks/failures.py --study work/simulated=work/compare_simulated_0 --study work/second=work/compare_second_0 \
        --weights work/joint_0/model.pt
    python benchmarks/failures.py --study work/second=work/people_compared_0 --weights work/people_0/model.pt \
        --name people --output docs/figures/people_worst.png
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from common import ROOT
from matplotlib.figure import Figure

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.data import load_manifest
from hrcam_monai.figures import draw_map
from hrcam_monai.workflows.model_folder import fitting_parser

COUNT = 10


def worst(studies: list[str], method: str) -> list[tuple[Path, dict[str, str]]]:
    """Cohort and row of the lowest pixel AP among moderate and plain lesions; faint ones are missed by every method."""
    found = []
    for spec in studies:
        cohort, _, study = spec.partition("=")
        with (Path(study) / "per_subject.csv").open(newline="") as stream:
            rows = [r for r in csv.DictReader(stream) if r["method"] == method and r["group"] != "faint"]
        found += [(Path(cohort), row) for row in rows]
    return sorted(found, key=lambda pair: float(pair[1]["pixel_ap"]))[:COUNT]


def main(
    study: Annotated[list[str], typer.Option(help="COHORT=FOLDER of a comparison; may be repeated.")],
    weights: Annotated[Path, typer.Option(help="The network compared.")] = ROOT / "bundle" / "models" / "model.pt",
    name: Annotated[str, typer.Option(help="Its name in the comparison.")] = "joint",
    output: Annotated[Path, typer.Option(help="PNG.")] = ROOT / "docs" / "figures" / "failures.png",
) -> None:
    """Print the worst, and draw each twice: on the slice with most lesion, and on the slice of the map's peak."""
    candidate, method = load_candidate(ROOT / "bundle", f"{name}={weights}"), f"HR-CAM, {name}"
    preprocessing = fitting_parser(weights, ROOT / "bundle", workflow="evaluate").get_parsed_content("preprocessing")
    figure = Figure(figsize=(13, 6.6), layout="constrained")
    axes = figure.subplots(4, COUNT // 2)
    for i, (cohort, row) in enumerate(worst(study, method)):
        item = next(x for x in load_manifest(cohort).items("test", masks=True) if x["subject"] == row["subject"])
        data = preprocessing(item)
        image, mask = data["image"].as_tensor(), data["mask"][0].numpy() > 0.5
        heat = candidate.read(image[None], 1)[1][method].numpy()
        slices = {"lesion": int(mask.sum((0, 1)).argmax()), "peak": int(np.unravel_index(heat.argmax(), heat.shape)[2])}
        for line, (shown, z) in zip(axes[2 * (i // (COUNT // 2)) :], slices.items(), strict=False):
            ax = line[i % (COUNT // 2)]
            draw_map(ax, image[0, :, :, z].numpy(), heat=np.clip(heat[:, :, z], 0, None), mask=mask[:, :, z])
            ax.set_title(f"{i + 1}. {cohort.name} {row['subject']}, {row['group']}: {shown}", fontsize=7)
        typer.echo(
            f"{i + 1}. {cohort.name} {row['subject']}, {row['group']}: AP {float(row['pixel_ap']):.3f}, "
            f"peak {float(row['peak_distance_mm']):.0f} mm off, lesion {int(mask.sum()) * 8 / 1000:.1f} ml"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=90)
    typer.echo(f"figure: {output}")


if __name__ == "__main__":
    typer.run(main)

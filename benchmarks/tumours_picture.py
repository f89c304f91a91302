"""Forty slices of people that a network has not seen: image with the mask's outline, our map, the best other map.

python benchmarks/tumours_picture.py --data ../shared/data --name brain_tumor_t1ce --output docs/figures/real_tumours.png

The slices are chosen by a rule: of each class, every n-th slice with a tumour, in the order of the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import ROOT, RealData
from matplotlib.figure import Figure
from tqdm import tqdm
from tumour_scores import OURS, RIVAL, maps_of, peers_of
from tumours import SetName, dataset_of, overlays, trained

from hrcam_monai.compare.maps import Candidate
from hrcam_monai.figures import draw_map, figure_image
from hrcam_monai.metrics.localization import localization_scores

SHOWN = 0.5  # of the way from a map's median to its maximum, ours and the other's
COLUMNS = 5  # slices beside each other, three pictures each


def chosen(data: list[dict[str, Any]], count: int) -> list[int]:
    """Indices of `count` slices with a mask, as many of each class, evenly through the table."""
    marked = [i for i, d in enumerate(data) if (np.asarray(d["mask"]) > 0.5).any()]
    labels = sorted({int(data[i]["label"]) for i in marked})
    found: list[int] = []
    for k, label in enumerate(labels):
        own = [i for i in marked if int(data[i]["label"]) == label]
        number = count // len(labels) + (k < count % len(labels))
        found += [own[round(j)] for j in np.linspace(0, len(own) - 1, number)]
    return found


def worst(data: list[dict[str, Any]], ours: Candidate, count: int) -> list[int]:
    """Indices of the `count` slices whose tumour our map finds least (pixel AP), one a person."""
    found: dict[str, tuple[float, int]] = {}
    for i, item in enumerate(tqdm(data, desc="score", unit="slice")):
        mask = np.asarray(item["mask"])[0] > 0.5
        if mask.any():
            image = torch.as_tensor(item["image"])[None].as_subclass(torch.Tensor)
            heat = ours.read(image, int(item["label"]))[1][f"{OURS}, {ours.name}"]
            own = (localization_scores(heat.numpy(), mask)["pixel_ap"], i)
            found[item["subject"]] = min(own, found.get(item["subject"], own))
    return [i for _, i in sorted(found.values())[:count]]


def main(
    data: RealData,
    name: SetName,
    output: Annotated[Path, typer.Option(help="PNG file.")],
    fold: Annotated[int, typer.Option(help="Held out.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the run.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Slices.")] = 40,
    failures: Annotated[
        bool, typer.Option("--failures", help="Those of each person that are found least, the worst first.")
    ] = False,
    work: Annotated[Path, typer.Option(help="Folder of the runs of benchmarks/tumours.py.")] = ROOT / "work" / "tumours",
) -> None:
    """Draw the picture."""
    torch.set_num_threads(1)
    folder = work / f"{name}_{fold}_{seed}"
    ours, plain = trained(folder, overlays(name))
    slices = list(dataset_of(name, folder.absolute(), (data / name).absolute(), "test", overlays(name)))
    peers = peers_of(plain)
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 3.3, rows * 1.25), layout="constrained", facecolor="black")
    axes = figure.subplots(rows, COLUMNS * 3, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for place, index in enumerate(worst(slices, ours, count) if failures else chosen(slices, count)):
        item = slices[index]
        image, mask = torch.as_tensor(item["image"])[None].as_subclass(torch.Tensor), np.asarray(item["mask"])[0, ..., 0] > 0.5
        logits, maps = maps_of(ours, peers, image, int(item["label"]))
        row, column = divmod(place, COLUMNS)
        picture = image[0, 0, ..., 0].numpy()
        for k, heat in enumerate((None, maps[OURS], maps[RIVAL])):
            shown = None if heat is None else (heat - heat.median()).clamp(min=0)[..., 0].numpy()
            draw_map(axes[row, 3 * column + k], picture, heat=shown, mask=mask, shown=SHOWN)
        right = int(logits.argmax()) == int(item["label"])
        title = f"{item['subject']} p {float(logits.softmax(0)[int(item['label'])]):.2f}"
        axes[row, 3 * column].set_title(title, fontsize=6, color="white" if right else "orange", pad=1)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure_image(figure).save(output, optimize=True)
    typer.echo(f"picture: {output}")


if __name__ == "__main__":
    typer.run(main)

"""What finds tumours in training images: the seeds of each round, and what they are weighed by.

python benchmarks/seed_quality.py --data ../shared/data --name brain_tumor_t1ce --run work/tumours/brain_tumor_t1ce_1_0

Masks are read to score training images of one fold's people, never to train or weigh.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RealData
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from tumours import CLASSES, SetName, dataset_of, overlays, trained

from hrcam_monai.networks import locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds import agreement, novelty, own_maps
from hrcam_monai.seeds.layer_cam import middle_features, mirrored_layer_cam, scaled

BATCH = 32


def maps_of(read: Callable[..., Tensor], backbone: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [N, 1, *] read through flips and squared, and the features of the backbone's middle level."""
    taps, maps, features = locate_taps(backbone, (1, *images.shape[1:])), [], []
    for part, own in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        maps.append(read(part, own, mirrors=([], [2]), power=2))
        features.append(middle_features(backbone, part, taps))
    return torch.cat(maps), torch.cat(features)


def weighed(name: str, found: Tensor, new: Tensor, images: Tensor, kinds: Sequence[Hashable]) -> dict[str, Tensor]:
    """Maps by themselves, weighed by novelty, and by agreement too."""
    best = scaled(found * new)
    agreed = agreement(best, images, kinds)
    return {
        f"{name}, squared": found,
        f"{name}, novelty of both": best,
        f"agreement of {name} alone": agreed,
        f"{name}, novelty of both, agreement": best * agreed,
    }


def table(lines: Mapping[str, Tensor], images: Tensor, masks: Tensor, labels: Tensor, classes: list[str]) -> None:
    """Print pixel AP, of each class too, and pointing of each line's maps, moved along edges."""
    typer.echo("| seeds | pixel AP | " + " | ".join(classes) + " | pointing |\n|---" + "|---" * (len(classes) + 2) + "|")
    for name, maps in lines.items():
        parts = zip(maps.split(BATCH), images.split(BATCH), strict=True)
        moved = torch.cat([along_edges(m, image) for m, image in parts]).flatten(1).numpy()
        truth = masks.flatten(1).numpy() > 0
        precision = np.array([average_precision_score(t, m) for t, m in zip(truth, moved, strict=True)])
        pointing = np.mean([t[m.argmax()] for t, m in zip(truth, moved, strict=True)])
        of_class = " | ".join(f"{precision[labels.numpy() == k].mean():.3f}" for k in range(len(classes)) if (labels == k).any())
        typer.echo(f"| {name} | {precision.mean():.3f} | {of_class} | {pointing:.2f} |")


def main(
    data: RealData,
    name: SetName,
    run: Annotated[Path, typer.Option(help="Folder of a run of tumours.py.")],
    scored: Annotated[int, typer.Option(help="Fold whose people, among those that trained, are scored.")] = 0,
) -> None:
    """Print what the seeds find in training images: LayerCAM, then the network's own maps, weighed by novelty and agreement."""
    torch.set_num_threads(1)
    source = (data / name).absolute()
    if not source.is_dir():
        typer.echo(f"no real data at {source}; nothing is measured.")
        return
    ours, plain = trained(run.absolute(), overlays(name))
    items = [d for d in dataset_of(name, run.absolute(), source, "training", overlays(name)) if "mask" in d]
    with (source / "slices.csv").open() as file:
        fold = {r["patient"]: int(r["fold"]) for r in csv.DictReader(file)}
    images = torch.stack([d["image"][..., 0].as_tensor() for d in items])
    masks = torch.stack([torch.as_tensor(d["mask"][..., 0]) for d in items])
    labels, people = torch.tensor([int(d["label"]) for d in items]), [str(d["subject"]) for d in items]
    rows = torch.tensor([i for i, p in enumerate(people) if fold[p] == scored and masks[i].any()])
    kinds = list(zip(people, labels.tolist(), strict=True))
    taps = locate_taps(plain.network, (1, *images.shape[1:]))
    found, features = maps_of(partial(mirrored_layer_cam, plain.network, taps=taps), plain.network, images, labels)
    grey = novelty(images, people)
    both = novelty(images, people, features=features, grey=grey)
    lines = {
        "novelty of grey values alone": grey,
        "novelty of features alone": both**2 / grey.clamp(min=1e-12),
        "LayerCAM, novelty of grey values": found * grey**0.5,
    }
    lines |= weighed("LayerCAM", found, both, images, kinds)
    network: Any = ours.network
    found, features = maps_of(partial(own_maps, network), network.backbone, images, labels)
    lines |= weighed("own maps", found, novelty(images, people, features=features, grey=grey), images, kinds)
    table({k: v[rows] for k, v in lines.items()}, images[rows], masks[rows], labels[rows], CLASSES[name])


if __name__ == "__main__":
    typer.run(main)

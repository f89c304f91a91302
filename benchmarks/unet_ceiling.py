"""The ceiling: a U-Net of about the same size, trained on the same heads WITH their lesion masks.

HR-CAM learns from one label a head; this network is told every voxel. How near the one comes to the other says how much
of what can be localised is localised without masks.

    python benchmarks/unet_ceiling.py --cohort work/cohort --test simulated=work/cohort --test second=work/second
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, environment, write_json
from monai.data import DataLoader
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import Compose, RandAffined, RandFlipd, RandScaleIntensityd, RandStdShiftIntensityd
from monai.utils import set_determinism
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.data import CachedCohort, Failures, load_manifest
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import localization_scores, summarize
from hrcam_monai.transforms import RandFoldsd, RandSlicesd, SliceWeightsd
from hrcam_monai.workflows.configs import bundle_parser

BUNDLE = Path(__file__).parents[1] / "bundle"
FEATURES = (12, 24, 32, 48, 48, 12)  # the widths of the bundle's StageCNN on the way down
KEYS = ("image", "mask")
MEASURES = ("pixel_ap", "best_dice", "pointing", "energy")


def training_loader(cohort: Path, preprocessing: Any, output: Path) -> DataLoader:
    """Slices with their masks, drawn and changed at random as train.json does."""
    augmentation = [
        SliceWeightsd(),
        RandSlicesd(KEYS, num_samples=4),
        RandFlipd(KEYS, prob=0.5, spatial_axis=0),
        RandFlipd(KEYS, prob=0.5, spatial_axis=1),
        RandAffined(
            KEYS,
            prob=1.0,
            rotate_range=0.17,
            scale_range=(0.12, 0.12),
            translate_range=(5, 5),
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        RandFoldsd("image", prob=0.5),
        RandScaleIntensityd("image", factors=0.15, prob=1.0),
        RandStdShiftIntensityd("image", factors=0.15, prob=1.0, nonzero=True),
    ]
    items = load_manifest(cohort).items("training", masks=True, slices=True)
    data = CachedCohort(items, Compose([*preprocessing.transforms, *augmentation]), Failures(output))
    return DataLoader(data, batch_size=8, shuffle=True)


def train(network: nn.Module, loader: DataLoader, epochs: int, lr: float = 3e-3) -> None:
    """Dice and cross entropy against the masks."""
    loss_of = DiceCELoss(sigmoid=True, lambda_ce=5.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * len(loader), pct_start=0.25)
    network.train()
    for _ in tqdm(range(epochs), desc="U-Net", unit="epoch"):
        for batch in loader:
            optimizer.zero_grad()
            loss_of(network(batch["image"]), batch["mask"]).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def volume_map(network: nn.Module, image: Tensor, inferer: HRCAMInferer) -> Tensor:
    """Probability of lesion, read through slices and flips as HR-CAM's maps are: [1, X, Y, Z] -> [X, Y, Z]."""

    def read(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_zeros(len(x), 1), network(x).sigmoid()

    return inferer(image[None], read)["maps"][0, 0]


def scores(network: nn.Module, cohort: Path, preprocessing: Any, inferer: HRCAMInferer, spacing: Any) -> list[dict[str, Any]]:
    """One row a subject with a lesion."""
    network.eval()
    rows = []
    for item in tqdm(load_manifest(cohort).items("test", masks=True), desc=str(cohort), unit="subject"):
        data = preprocessing(item)
        mask = data["mask"][0].numpy() > 0.5
        if mask.any():
            heat = volume_map(network, data["image"].as_tensor(), inferer)
            rows.append({"grade": item["grade"], **localization_scores(heat, mask, spacing=spacing)})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals, by grade and over all."""
    out: dict[str, Any] = {}
    for grade in ("plain", "moderate", "faint", "all"):
        own = [r for r in rows if grade in (r["grade"], "all")]
        out[grade] = {k: summarize(np.array([r[k] for r in own]))._asdict() for k in MEASURES}
    return out


def main(
    cohort: Annotated[Path, typer.Option(help="Simulated cohort to train on.")],
    test: Annotated[list[str], typer.Option(help="NAME=COHORT whose test split is scored; may be repeated.")],
    epochs: Annotated[int, typer.Option(help="Of 50 batches of 32 slices.")] = 12,
    seed: Annotated[int, typer.Option(help="Of training.")] = 0,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "unet.json",
) -> None:
    """Train, score, and write a JSON file."""
    set_determinism(seed)
    parser = bundle_parser(BUNDLE, dataset_dir=str(cohort))
    preprocessing, inferer, spacing = (parser.get_parsed_content(k) for k in ("preprocessing", "inferer", "spacing"))
    network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=FEATURES)
    train(network, training_loader(cohort, preprocessing, cohort / "unet_failures"), epochs)
    found = {}
    for spec in test:
        name, _, folder = spec.partition("=")
        found[name] = summary(scores(network, Path(folder), preprocessing, inferer, spacing))
        typer.echo(f"{name}: pixel AP {found[name]['all']['pixel_ap']['mean']:.3f}")
    count = sum(p.numel() for p in network.parameters())
    write_json(output, {**environment(seed), "parameters": count, "epochs": epochs, "results": found})


if __name__ == "__main__":
    typer.run(main)

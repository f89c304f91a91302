"""The ceiling on people: our network, told every voxel of the lesions in the same heads.

The network of people.json, its start (ImageNet), augmentation, batches and number of steps; but each lesion that is drawn hands
its mask on, and the map is taught voxel by voxel. How near HR-CAM comes, which learns from one label a head, says how much of
what can be localised is localised without masks.

    python benchmarks/people_ceiling.py --cohort work/people/heads --second work/second

A training that was stopped goes on; the network after the last epoch is scored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, ROOT, environment, write_json
from monai.data import DataLoader
from monai.losses import DiceCELoss
from monai.utils import set_determinism
from peers import Peer, Stage
from peers.training import train
from torch import Tensor
from tqdm import tqdm
from unet_ceiling import MEASURES, volume_map

from hrcam_monai.data import load_manifest
from hrcam_monai.metrics import auc_or_chance, localization_scores
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.weights import load_weights
from hrcam_monai.workflows.configs import bundle_parser

BUNDLE = ROOT / "bundle"
EPOCHS = 30  # as many as both stages of people.json together


class MaskedNetwork(Peer):
    """The class map of an HR-CAM network as a segmentation: one channel, the finding's logit against the reference's."""

    title = "HR-CAM's network, told every voxel"
    method = "probability of lesion"
    reads_masks = True
    bfloat16 = False  # maps are resized in it slowly

    def __init__(self, network: HRCAMNet) -> None:
        super().__init__(2, 0)
        self.network = network
        self.dice_and_ce = DiceCELoss(sigmoid=True, batch=True, lambda_ce=5.0)

    def forward(self, x: Tensor) -> Tensor:
        """Logit of each pixel: [B, C, X, Y] -> [B, 1, X, Y]."""
        maps = self.network.class_maps(x)[1]
        return maps[:, 1:] - maps[:, :1]

    def stages(self) -> list[Stage]:
        return [Stage(self.network, self.pixel_loss, epochs=EPOCHS, lr=0.001)]

    def pixel_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Dice and cross entropy."""
        assert masks is not None
        loss: Tensor = self.dice_and_ce(self(x), (masks > 0.5).float())
        return loss

    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        return {self.method: self(x).sigmoid()}


def training_loader(cohort: Path, work: Path) -> DataLoader:
    """The batches that people.json trains with, and the masks of what is drawn among them."""
    parser = bundle_parser(BUNDLE, ["drawn_lesions", "people"], "train", dataset_dir=str(cohort), output_dir=str(work), seeds=0.0)
    parser["drawn::1::_target_"] = "masked_lesions.RandMaskedLesionsd"
    loader: DataLoader = parser.get_parsed_content("train::dataloader")
    return loader


def scores(network: Peer, second: Path, parser: Any) -> list[dict[str, Any]]:
    """A row a head: its label, grade and kind, the highest probability of its map, and how well that lies on the mask."""
    network.eval()
    preprocessing, inferer, spacing = (parser.get_parsed_content(k) for k in ("preprocessing", "inferer", "spacing"))
    rows = []
    for item in tqdm(load_manifest(second).items("test", masks=True), desc="score", unit="head"):
        data = preprocessing(item)
        heat, mask = volume_map(network, data["image"].as_tensor(), inferer), data["mask"][0].numpy() > 0.5
        row = {"label": int(item["label"]), "grade": item["grade"], "kind": item["kind"], "height": float(heat.max())}
        rows.append(row | (dict(localization_scores(heat, mask, spacing=spacing)) if mask.any() else {}))
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of the heads with lesions, by grade and by kind, and AUC of each grade against the heads without."""
    found: dict[str, Any] = {}
    for name in ("all", "plain", "moderate", "faint", "bright", "dark", "mixed"):
        own = [r for r in rows if r["label"] and name in ("all", r["grade"], r["kind"])]
        both = [*own, *(r for r in rows if not r["label"])]
        heights, labels = (torch.tensor([r[k] for r in both]) for k in ("height", "label"))
        auc = auc_or_chance(torch.stack([torch.zeros_like(heights), heights], dim=1), labels)
        found[name] = {"subjects": len(own), "auc": auc, **{m: float(np.mean([r[m] for r in own])) for m in MEASURES}}
    return found


def main(
    cohort: Annotated[Path, typer.Option(help="Heads to train with, healthy ones.")],
    second: Annotated[Path, typer.Option(help="Cohort of second_lesions.py.")],
    seed: Annotated[int, typer.Option(help="Of training.")] = 0,
    work: Annotated[Path, typer.Option(help="Folder of the run.")] = ROOT / "work" / "people_ceiling",
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "people" / "ceiling.json",
) -> None:
    """Train, score, and write a JSON file."""
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    set_determinism(seed)
    parser = bundle_parser(BUNDLE, ["people"], dataset_dir=str(second))
    network = parser.get_parsed_content("network_def")
    load_weights(network.backbone, parser.get_parsed_content("base_weights"))
    peer = MaskedNetwork(network)
    done = train(peer, training_loader(cohort, work), lambda _: 0.0, work / "checkpoint.pt", seed)
    found = summary(scores(peer, second, parser))
    typer.echo("\n".join(f"{name}: AUC {f['auc']:.3f}, pixel AP {f['pixel_ap']:.3f}" for name, f in found.items()))
    minutes = round(done["seconds"] / 60, 1)
    write_json(output, {**environment(seed), "epochs": EPOCHS, "processor_minutes": minutes, "results": found})


if __name__ == "__main__":
    typer.run(main)

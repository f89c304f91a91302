"""Other networks on the same real tumours: one fold and seed of one of them, trained and scored as ours is.

python benchmarks/tumour_peers.py --data ../shared/data --name glioma_flair --fold 0 --seed 0 --peer gp_unet

People, preprocessing, augmentation, batches, flips and measures are those of `tumours.py`. Image labels alone train them, but for
the ceiling `unet`, which reads the masks of the training people. The network after the last epoch is scored: nothing is chosen.
A finished result is not run again; a training that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, ROOT, RealData, environment, write_json
from monai.data import DataLoader
from monai.utils import set_determinism
from peers import PEERS, Peer
from peers.training import train
from torch import Tensor, nn
from tqdm import tqdm
from tumour_scores import EDGES, Row, classified, map_lines, map_rows
from tumours import CLASSES, Fold, Seed, SetName, dataset_of, overlays, print_maps, write_manifest

from hrcam_monai.data.cohort import CachedCohort
from hrcam_monai.inferers import mirrored_axes
from hrcam_monai.metrics import auc_or_chance
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds.handler import SEEDS
from hrcam_monai.workflows.configs import bundle_parser

BATCH = 64  # images at once where nothing is learnt


def training_loader(name: str, folder: Path, source: Path, masks: bool) -> DataLoader:
    """The batches that train.json's first stage learns from; masks go the seeds' way through the augmentation."""
    parser = bundle_parser(
        ROOT / "bundle", overlays(name), workflow="train", dataset_dir=str(folder), output_dir=str(folder / "run")
    )
    parser["manifest::root"] = str(source)
    parser["train::dataset::data"] = f"$@manifest.items('training', masks={masks}, slices=True, every_class=True)"
    loader: DataLoader = parser.get_parsed_content("train::dataloader")
    if masks:
        assert isinstance(loader.dataset, CachedCohort)
        for item in loader.dataset.items():
            item[SEEDS] = item.pop("mask")
    return loader


def images_and_labels(dataset: Any) -> tuple[Tensor, Tensor]:
    """Of every slice its image [N, 1, X, Y] and label [N], and nothing of its mask."""
    found = [(torch.as_tensor(d["image"]).as_subclass(Tensor)[..., 0], int(d["label"])) for d in dataset]
    return torch.stack([image for image, _ in found]), torch.tensor([label for _, label in found])


def auc_of(images: Tensor, labels: Tensor) -> Callable[[nn.Module], float]:
    """How well a network classifies these."""

    @torch.no_grad()
    def validate(network: nn.Module) -> float:
        network.eval()
        return auc_or_chance(torch.cat([network(part) for part in images.split(BATCH)]), labels)

    return validate


def through_flips(read: Callable[[Tensor], Mapping[str, Tensor]], x: Tensor, flip_axes: list[int]) -> dict[str, Tensor]:
    """Named maps [B, 1, X, Y], mean over the image and its mirrored ones, mirrored back: as ours are read."""
    found = [{n: m.flip(axes) for n, m in read(x.flip(axes)).items()} for axes in ([], *mirrored_axes(flip_axes))]
    return {name: torch.stack([f[name] for f in found]).mean(dim=0) for name in found[0]}


@torch.no_grad()
def scored(peer: Peer, dataset: Any, flip_axes: list[int]) -> Iterator[Row]:
    """Rows of each slice, as `tumour_scores.scored` makes them of ours: its logits, and one a map where there is a mask."""
    peer.eval()
    for data in tqdm(dataset, desc="score"):
        x, label = torch.as_tensor(data["image"])[None].as_subclass(Tensor)[..., 0], int(data["label"])
        mask = np.asarray(data["mask"])[0] > 0.5
        common = {"subject": data["subject"], "group": data["grade"], "label": label, "size": int(mask.sum())}
        logits = through_flips(lambda x: {"": peer(x)[:, :, None, None]}, x, flip_axes)[""]
        yield common | {"method": "", "logits": logits.flatten().tolist()}
        if mask.any():
            maps = through_flips(lambda x, label=label: peer.maps(x, label), x, flip_axes)
            maps[peer.method + EDGES] = along_edges(maps[peer.method], x)
            yield from map_rows({n: m[0, 0, ..., None] for n, m in maps.items()}, mask, common)


def main(
    data: RealData,
    name: SetName,
    peer: Annotated[str, typer.Option(help=", ".join(PEERS))],
    fold: Fold = 0,
    seed: Seed = 0,
    work: Annotated[Path, typer.Option(help="Folder of the runs.")] = ROOT / "work" / "peers",
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS / "tumours" / "peers",
) -> None:
    """Train and score one network, print its table and write NAME_PEER_FOLD_SEED.json."""
    torch.set_num_threads(1)
    if peer not in PEERS or name not in CLASSES:
        raise typer.BadParameter(f"{peer} on {name}: choose among {', '.join(PEERS)}, and {', '.join(CLASSES)}.")
    result = results / f"{name}_{peer}_{fold}_{seed}.json"
    if result.is_file():
        typer.echo(f"{result}: is there; removing it runs the fold again.")
        return
    source, folder = (data / name).absolute(), work.absolute() / result.stem
    if not source.is_dir():
        typer.echo(f"no real data at {source}; nothing is measured.")
        return
    write_manifest(source, name, fold, seed, folder)
    write_json(
        result, {**environment(seed), "name": name, "fold": fold, "peer": peer, **measured(peer, name, folder, source, seed)}
    )


def measured(peer: str, name: str, folder: Path, source: Path, seed: int) -> dict[str, Any]:
    """Train and score."""
    set_determinism(seed)
    parser = bundle_parser(ROOT / "bundle", overlays(name))
    network = PEERS[peer](len(CLASSES[name]), parser["reference"])
    validation, test = (dataset_of(name, folder, source, split, overlays(name)) for split in ("validation", "test"))
    loader = training_loader(name, folder, source, network.reads_masks)
    done = train(network, loader, auc_of(*images_and_labels(validation)), folder / "checkpoint.pt", seed)
    rows, chosen = (list(scored(network, dataset, parser["flip_axes"])) for dataset in (test, validation))
    found: dict[str, Any] = {"title": network.title, "method": network.method, "reads_masks": network.reads_masks}
    found |= {"parameters": sum(p.numel() for p in network.parameters()), "validation_auc": done["validation"]}
    found |= {"epochs": [stage.epochs for stage in network.stages()], "processor_minutes": round(done["seconds"] / 60, 1)}
    found |= {"network": classified(rows, "logits"), "maps": map_lines(rows, chosen)}
    typer.echo(json.dumps(found["network"]))
    print_maps(found["maps"])
    return found


if __name__ == "__main__":
    typer.run(main)

"""Real tumours: one fold and seed trained by the bundle, and its maps beside other maps of the same people.

python benchmarks/tumours.py --data ../shared/data --name glioma_flair --fold 0 --seed 0

A fold that has its result is not run again; a training that was stopped goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, ROOT, environment, write_json
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.compare.command import bundle_parser, load_candidate
from hrcam_monai.compare.maps import Candidate, PeerMaps
from hrcam_monai.cross_validation.configs import parse_settings
from hrcam_monai.edges import along_edges
from hrcam_monai.metrics.localization import fixed_dice, localization_scores

CLASSES = {"glioma_flair": ["none", "tumour"], "brain_tumor_t1ce": ["meningioma", "glioma", "pituitary"]}
PEERS = ("MONAI Grad-CAM", "TorchCAM LayerCAM")
OURS = "HR-CAM"
EDGES = ", along edges"
SHARES = np.arange(0.1, 0.95, 0.05)  # of the way from a map's median to its maximum, tried on validation people
Row = dict[str, Any]


def overlays(name: str) -> list[str]:
    """The bundle's configs for these images."""
    return ["pictures", f"tasks/{name}"]


def split_of(rows: Sequence[Mapping[str, str]], fold: int, seed: int) -> dict[str, str]:
    """Each person's split: the fold is held out, one in five of the others validates; no one is in two."""
    people = {r["patient"]: (int(r["fold"]), r["class"]) for r in sorted(rows, key=lambda r: r["patient"])}
    if any(people[r["patient"]][0] != int(r["fold"]) for r in rows):
        raise ValueError("a patient is in two folds.")
    rest = [p for p, (own, _) in people.items() if own != fold]
    _, validation = next(StratifiedKFold(5, shuffle=True, random_state=seed).split(rest, [people[p][1] for p in rest]))
    split = dict.fromkeys(people, "test") | dict.fromkeys(rest, "training")
    return split | {rest[i]: "validation" for i in validation}


def write_manifest(source: Path, name: str, fold: int, seed: int, folder: Path) -> None:
    """The manifest of one fold; its paths start from the source."""
    with (source / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    split = split_of(rows, fold, seed)
    content: dict[str, Any] = {"classes": CLASSES[name], "training": [], "validation": [], "test": []}
    for r in rows:
        entry = {"image": r["image"], "label": r["class"], "subject": r["patient"], "grade": r.get("site") or r["class"]}
        content[split[r["patient"]]].append(entry | ({"mask": r["mask"]} if r["mask"] else {}))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "manifest.json", content)


def train(source: Path, seed: int, folder: Path, overlay: Sequence[str]) -> float:
    """Train, or the rest of it; minutes that it took this time."""
    start = time.time()
    named = [ROOT / "bundle" / "configs" / f"{c}.json" for c in ("train", *overlay)]
    configs = [str(p if p.is_file() else o) for p, o in zip(named, ("train", *overlay), strict=True)]
    line = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(configs)]
    line += ["--bundle_root", str(ROOT / "bundle"), "--dataset_dir", str(folder), "--manifest::root", str(source)]
    line += ["--output_dir", str(folder / "run"), "--seed", str(seed), "--resume", "True"]
    subprocess.run(line, check=True)
    return (time.time() - start) / 60


def maps_of(ours: Candidate, peers: PeerMaps, image: Tensor, label: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [K], and every map [X, Y, 1] of the label's class, by name."""
    logits, found = ours.read(image, label)
    name = f"HR-CAM, {ours.name}"
    levels = [m for n, m in found.items() if "alone" in n]
    maps = {OURS: found[name]} | {f"{OURS}, level {i} alone": m for i, m in enumerate(levels, 1)}
    maps[f"{OURS}, without the two finest levels"] = torch.stack(levels[2:]).sum(0)
    maps |= {n.replace(f" ({peers.candidate.name})", ""): m for n, m in peers(image, label).items()}
    for n in (OURS, "TorchCAM LayerCAM, mean, read as HR-CAM"):
        positive = (maps[n] - maps[n].median()).clamp(min=0)
        maps[n + EDGES] = along_edges(positive[None, None, ..., 0], image[..., 0])[0, 0, ..., None]
    return logits, maps


def scored(dataset: Any, ours: Candidate, plain: Candidate, mean_masks: Mapping[int, np.ndarray]) -> Iterator[Row]:
    """Rows of each slice: one with its logits, and one a map where there is a mask."""
    peers = PeerMaps(plain, PEERS)
    for data in tqdm(dataset, desc="score"):
        image, label = torch.as_tensor(data["image"])[None].as_subclass(Tensor), int(data["label"])
        mask = np.asarray(data["mask"])[0] > 0.5
        common = {"subject": data["subject"], "group": data["grade"], "label": label}
        if not mask.any():
            yield common | {"method": "", "logits": ours.logits(image).tolist(), "plain": plain.logits(image).tolist()}
            continue
        logits, maps = maps_of(ours, peers, image, label)
        yield common | {"method": "", "logits": logits.tolist(), "plain": plain.logits(image).tolist()}
        shape = mask.shape
        towards = [np.linspace(-1, 1, n) ** 2 for n in shape[:2]]
        maps |= {"a Gaussian in the middle": torch.from_numpy(np.exp(-2 * np.add.outer(*towards))[..., None])}
        maps |= {"mean mask of the class": torch.from_numpy(mean_masks[label])}
        for method, heat in maps.items():
            values = heat.numpy()
            above = values - np.median(values)  # as the label map: what stands out from the rest, whatever the level of the whole
            shares = [fixed_dice(above, mask, share) for share in SHARES]
            yield common | {"method": method, "shares": shares} | localization_scores(values, mask)


def mean_masks_of(dataset: Any) -> dict[int, np.ndarray]:
    """The mean mask of each class, over slices that have one."""
    found: dict[int, list[np.ndarray]] = {}
    for data in dataset:
        mask = np.asarray(data["mask"])[0] > 0.5
        if mask.any():
            found.setdefault(int(data["label"]), []).append(mask)
    return {label: np.mean(masks, axis=0) for label, masks in found.items()}


def classified(rows: Sequence[Row], key: str) -> dict[str, float]:
    """Accuracy, macro F1, and the AUC of two classes."""
    own = [r for r in rows if not r["method"]]
    labels, scores = np.array([r["label"] for r in own]), np.array([r[key] for r in own])
    predicted = scores.argmax(1)
    found = {"accuracy": float((predicted == labels).mean()), "macro_f1": float(f1_score(labels, predicted, average="macro"))}
    return found | ({"auc": float(roc_auc_score(labels, scores[:, 1] - scores[:, 0]))} if scores.shape[1] == 2 else {})


def located(rows: Sequence[Row], method: str, share: int) -> dict[str, float]:
    """Means over slices, medians of Dice, and Dice at the share that validation people chose."""
    own = [r for r in rows if r["method"] == method]
    found = {key: float(np.mean([r[key] for r in own])) for key in ("pixel_ap", "best_dice", "pointing", "energy")}
    found["median_best_dice"] = float(np.median([r["best_dice"] for r in own]))
    found["median_fixed_dice"] = float(np.median([r["shares"][share] for r in own]))
    labels = sorted({r["label"] for r in own})
    return found | {f"pixel_ap_class_{i}": float(np.mean([r["pixel_ap"] for r in own if r["label"] == i])) for i in labels}


def summary(rows: Sequence[Row], validation: Sequence[Row]) -> dict[str, Any]:
    """Classification of both networks, and a line a map."""
    lines = {}
    for method in dict.fromkeys(r["method"] for r in rows if r["method"]):
        tried = np.median([r["shares"] for r in validation if r["method"] == method], axis=0)
        share = int(tried.argmax())
        lines[method] = {"slices": sum(r["method"] == method for r in rows), "share": float(SHARES[share])}
        lines[method] |= located(rows, method, share)
    return {"network": classified(rows, "logits"), "plain": classified(rows, "plain"), "maps": lines}


def dataset_of(name: str, folder: Path, source: Path, split: str, overlay: Sequence[str]) -> Any:
    """The slices of one split as evaluate.json reads them, with their masks."""
    parser = bundle_parser(ROOT / "bundle", overlay, dataset_dir=str(folder), output_dir=str(folder / "eval"), split=split)
    parser["manifest::root"] = str(source)
    return parser.get_parsed_content("validate::dataset")


def trained(folder: Path, overlay: Sequence[str]) -> tuple[Candidate, Candidate]:
    """The network of a run, and the plain CNN that it began with."""
    ours, plain = (
        load_candidate(ROOT / "bundle", f"{name}={folder / 'run' / file}", overlay)
        for name, file in (("ours", "model.pt"), ("plain", "base_cnn.pt"))
    )
    return ours, plain


def main(
    data: Annotated[Path, typer.Option(help="Folder of the real data.")],
    name: Annotated[str, typer.Option(help="glioma_flair or brain_tumor_t1ce.")],
    fold: Annotated[int, typer.Option(min=0, max=4, help="Held out.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the training and of the validation people.")] = 0,
    work: Annotated[Path, typer.Option(help="Folder of the runs.")] = ROOT / "work" / "tumours",
    variant: Annotated[str, typer.Option(help="Name of a variant of the recipe, in the result's name.")] = "",
    option: Annotated[list[str] | None, typer.Option("--set", help="key=value of the configs, for a variant.")] = None,
    rescore: Annotated[bool, typer.Option("--rescore", help="Score a finished run anew.")] = False,
) -> None:
    """Train and score one fold with one seed, print the table and write benchmarks/results/tumours/NAME_FOLD_SEED.json."""
    torch.set_num_threads(1)
    result = RESULTS / "tumours" / f"{name}{'_' * bool(variant)}{variant}_{fold}_{seed}.json"
    before = json.loads(result.read_text()) if result.is_file() else {}
    if before and not rescore:
        typer.echo(f"{result}: is there; --rescore scores it anew, removing it runs the fold again.")
        return
    source, folder = (data / name).absolute(), work.absolute() / result.stem
    if not source.is_dir():
        typer.echo(f"no real data at {source}; nothing is measured.")
        return
    write_manifest(source, name, fold, seed, folder)
    changed = parse_settings(option or [])
    write_json(folder / "variant.json", changed)
    overlay = [*overlays(name), *([str(folder / "variant.json")] if changed else [])]
    minutes = before["minutes"] if before else train(source, seed, folder, overlay)
    ours, plain = trained(folder, overlay)
    means = mean_masks_of(dataset_of(name, folder, source, "training", overlay))
    rows = {
        split: list(scored(dataset_of(name, folder, source, split, overlay), ours, plain, means))
        for split in ("validation", "test")
    }
    found = summary(rows["test"], rows["validation"])
    print_table(found)
    write_json(result, {**environment(seed), "name": name, "fold": fold, "minutes": round(minutes, 1), "set": changed, **found})


def print_table(found: Mapping[str, Any]) -> None:
    """The result, for the console."""
    typer.echo(json.dumps({"network": found["network"], "plain": found["plain"]}))
    for method, line in found["maps"].items():
        classes = " ".join(f"{v:.3f}" for k, v in line.items() if k.startswith("pixel_ap_class"))
        dice = f"Dice {line['median_best_dice']:.3f}, at {line['share']:.2f} {line['median_fixed_dice']:.3f}"
        typer.echo(f"{method:55s} AP {line['pixel_ap']:.3f} ({classes}) pointing {line['pointing']:.2f} {dice}")


if __name__ == "__main__":
    typer.run(main)

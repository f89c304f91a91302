"""Real tumours: one fold and seed trained by the bundle, and its maps beside other maps of the same people.

python benchmarks/tumours.py --data ../shared/data --name glioma_flair --fold 0 --seed 0
python benchmarks/tumours.py --data ../shared/data --name glioma_flair --site HT --seed 0   # a hospital's people held out

A fold that has its result is not run again; a training that was stopped goes on where it stopped.
"""

from __future__ import annotations

import copy
import csv
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from common import RESULTS, ROOT, RealData, environment, write_json
from monai.data import DataLoader
from sklearn.model_selection import StratifiedKFold
from torch.utils.data import Subset
from tumour_scores import mean_masks_of, sanity, scored, summary

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.compare.maps import Candidate
from hrcam_monai.cross_validation.configs import parse_settings
from hrcam_monai.fit import fit_head
from hrcam_monai.networks import HRCAMNet, find_taps
from hrcam_monai.workflows.configs import bundle_parser

SetName = Annotated[str, typer.Option(help="glioma_flair or brain_tumor_t1ce.")]
Fold = Annotated[int, typer.Option(min=0, max=4, help="Held out.")]
Seed = Annotated[int, typer.Option(help="Of the training and of the validation people.")]
OF_VALIDATION = 3  # one slice in so many, of every person, is enough for a threshold
CLASSES = {"glioma_flair": ["none", "tumour"], "brain_tumor_t1ce": ["meningioma", "glioma", "pituitary"]}


def overlays(name: str) -> list[str]:
    """The bundle's configs for these images."""
    return ["pictures", f"tasks/{name}"]


def split_of(rows: Sequence[Mapping[str, str]], held: int | str, seed: int) -> dict[str, str]:
    """Each person's split: a fold, or a site by its code, is held out, one in five of the others validates; no one is in two.

    Raises:
        ValueError: a patient is in two folds or sites, or nobody is of the one that is held out.
    """
    column = "fold" if isinstance(held, int) else "site"
    people = {r["patient"]: (r.get(column), r["class"]) for r in sorted(rows, key=lambda r: r["patient"])}
    if any(people[r["patient"]][0] != r.get(column) for r in rows):
        raise ValueError(f"a patient is in two {column}s.")
    rest = [p for p, (own, _) in people.items() if own != str(held)]
    if len(rest) == len(people):
        known = ", ".join(sorted({own for own, _ in people.values() if own})) or "none"
        raise ValueError(f"nobody is of {column} {held}; {column}s of this set: {known}.")
    _, validation = next(StratifiedKFold(5, shuffle=True, random_state=seed).split(rest, [people[p][1] for p in rest]))
    split = dict.fromkeys(people, "test") | dict.fromkeys(rest, "training")
    return split | {rest[i]: "validation" for i in validation}


def write_manifest(source: Path, name: str, held: int | str, seed: int, folder: Path) -> None:
    """The manifest of a fold, or site, that is held out; its paths start from the source."""
    with (source / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    split = split_of(rows, held, seed)
    content: dict[str, Any] = {"classes": CLASSES[name], "training": [], "validation": [], "test": []}
    for r in rows:
        entry = {"image": r["image"], "label": r["class"], "subject": r["patient"], "grade": r.get("site") or r["view"]}
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
    data: RealData,
    name: SetName,
    fold: Fold = 0,
    site: Annotated[str, typer.Option(help="Code of a site that is held out, in place of a fold.")] = "",
    seed: Seed = 0,
    work: Annotated[Path, typer.Option(help="Folder of the runs.")] = ROOT / "work" / "tumours",
    variant: Annotated[str, typer.Option(help="Name of a variant of the recipe, in the result's name.")] = "",
    option: Annotated[list[str] | None, typer.Option("--set", help="key=value of the configs, for a variant.")] = None,
    ours_alone: Annotated[
        bool, typer.Option("--ours-alone", help="Score no other maps; enough for a step of the recipe.")
    ] = False,
    rescore: Annotated[bool, typer.Option("--rescore", help="Score a finished run anew.")] = False,
) -> None:
    """Train and score one fold with one seed, print the table and write benchmarks/results/tumours/NAME_FOLD_SEED.json.

    Of a site NAME_SITE_SEED.json, which the tables of the folds leave out.
    """
    torch.set_num_threads(1)
    held = {"site": site} if site else {"fold": fold}
    result = RESULTS / "tumours" / f"{name}{'_' * bool(variant)}{variant}_{site or fold}_{seed}.json"
    before = json.loads(result.read_text()) if result.is_file() else {}
    if before and not rescore:
        typer.echo(f"{result}: is there; --rescore scores it anew, removing it runs the fold again.")
        return
    source, folder = (data / name).absolute(), work.absolute() / result.stem
    if not source.is_dir():
        typer.echo(f"no real data at {source}; nothing is measured.")
        return
    write_manifest(source, name, site or fold, seed, folder)
    changed = parse_settings(option or [])
    write_json(folder / "variant.json", changed)
    overlay = [*overlays(name), *([str(folder / "variant.json")] if changed else [])]
    minutes = before["minutes"] if before else train(source, seed, folder, overlay)
    ours, plain = trained(folder, overlay)
    training, validation, test = (dataset_of(name, folder, source, s, overlay) for s in ("training", "validation", "test"))
    others = () if ours_alone else (fitted_to(plain, training, len(CLASSES[name])), mean_masks_of(training))
    some = Subset(validation, range(0, len(validation), OF_VALIDATION))
    rows = [list(scored(dataset, ours, plain, *others)) for dataset in (test, some)]
    found = summary(*rows) | {"sanity": sanity(ours, test)}
    print_table(found)
    write_json(result, {**environment(seed), "name": name, **held, "minutes": round(minutes, 1), "set": changed, **found})


def fitted_to(plain: Candidate, training: Any, classes: int) -> Candidate:
    """HR-CAM's head fitted to the plain CNN, which stays as it is."""
    taps = find_taps(plain.network, (1, *training[0]["image"].shape[:3]))  # not its top-down levels, which nothing has taught
    network = HRCAMNet(plain.network, classes, taps=taps, spatial_dims=2, pooling="gap")
    images = [{"image": d["image"][..., 0], "label": int(d["label"]), "subject": d["subject"]} for d in training]
    fit_head(network, DataLoader(images, batch_size=32))
    inferer = copy.copy(plain.inferer)  # through the same flips and slices, of maps that are pooled otherwise
    inferer.pooling = "gap"
    return Candidate("fitted", network, inferer)


def print_table(found: Mapping[str, Any]) -> None:
    """The result, for the console."""
    typer.echo(json.dumps({"network": found["network"], "plain": found["plain"]}))
    print_maps(found["maps"])


def print_maps(maps: Mapping[str, Mapping[str, Any]]) -> None:
    """A line a map."""
    for method, line in maps.items():
        classes = " ".join(f"{v:.3f}" for k, v in line.items() if k.startswith("pixel_ap_class"))
        dice = f"Dice {line['median_best_dice']:.3f}, at {line['share']:.2f} of {line['scale']} {line['median_fixed_dice']:.3f}"
        typer.echo(f"{method:55s} AP {line['pixel_ap']:.3f} ({classes}) pointing {line['pointing']:.2f} {dice}")


if __name__ == "__main__":
    typer.run(main)

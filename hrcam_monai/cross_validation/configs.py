"""What the bundle's workflows are told, the same in every fold: one overlay file for each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from hrcam_monai.data.failures import reason
from hrcam_monai.fit.command import GEOMETRY, changed_by_task
from hrcam_monai.transforms import ReadPredictiond
from hrcam_monai.utils.files import write_json
from hrcam_monai.workflows.command_line import refuse_unknown
from hrcam_monai.workflows.configs import find_config, read_settings

__all__ = [
    "RUN",
    "config_files",
    "fold_overlays",
    "load",
    "of_maps_alone",
    "parse_settings",
    "top",
    "with_references",
    "write_overlays",
]

WORKFLOWS = ("train", "evaluate", "inference")
RUN = ("train", "inference")  # inference scores, too: one pass of a subject through its network; `evaluate` may be run by hand
OWN = ("bundle_root", "dataset_dir", "output_dir", "checkpoint", "classes", "resume", "seed", "split", "manifest", "found")
NETWORK = ("backbone", "network_def", "inferer", "pooling", "sharpness", "reference", "flip_axes", *GEOMETRY)


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` as on a command line; values as Python or JSON writes them, anything else is text.

    Raises:
        ValueError: not of that form, or a key that cross-validation sets itself.

    Example:
        >>> parse_settings(["epochs=3", "flip_axes=[1]", "group_key=grade"])
        {'epochs': 3, 'flip_axes': [1], 'group_key': 'grade'}
    """
    found = read_settings(pairs)
    for key in found:
        if top(key) in OWN:
            raise ValueError(f"--set {key}: each fold has its own; leave it to cross-validate.")
    return found


def top(key: str) -> str:
    """The key at the top of a configuration that another lies under.

    Example:
        >>> top("backbone::channels")
        'backbone'
    """
    return re.split("::|#", key)[0]


def config_files(bundle_root: Path, config: Path | None, overlays: Sequence[str]) -> dict[str, list[Path]]:
    """The configs of each workflow: the bundle's, and for training the one given with its overlays.

    Raises:
        FileNotFoundError: one is not there.
    """
    named: dict[str, list[str | Path]] = {workflow: [workflow] for workflow in WORKFLOWS}
    named["train"] = [config or "train", *overlays, "exact_resume"]
    named["inference"] += ["held_out"]
    return {workflow: [find_config(bundle_root, n).absolute() for n in names] for workflow, names in named.items()}


def load(files: Sequence[Path]) -> dict[str, Any]:
    """The configs laid over each other, nothing of them made yet.

    Raises:
        ValueError: one cannot be read.
    """
    try:
        return ConfigParser.load_config_files([str(f) for f in files])
    except Exception as error:
        raise ValueError(f"{files[0]} and its overlays: not readable configs ({reason(error)}).") from None


def with_references(config: Mapping[str, Any], keys: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """These keys of a config, and whatever else of it they refer to that the other config does not know.

    Example:
        >>> with_references({"a": "@b", "b": "$@c + 1", "c": 2, "d": 3}, ["a"], ["c"])
        {'a': '@b', 'b': '$@c + 1'}
    """
    found: dict[str, Any] = {}
    left = [k for k in keys if k in config]
    while left:
        key = left.pop(0)
        found[key] = config[key]
        named = re.findall(r"[@%](\w+)", json.dumps(config[key]))
        left += [n for n in named if n in config and n not in found and n not in known and n not in left]
    return found


def fold_overlays(
    files: Mapping[str, Sequence[Path]], settings: Mapping[str, Any], classes: Sequence[str], root: Path
) -> dict[str, dict[str, Any]]:
    """The overlay of each workflow: the settings it knows, the cohort's classes and folder, and the network of training.

    Raises:
        ValueError: a setting that no workflow knows, a class of maps that is none, or a training whose images evaluation would
            not see alike.
    """
    configs = {workflow: load(listed) for workflow, listed in files.items()}
    listed = str([str(f) for group in files.values() for f in group])
    refuse_unknown(["", "run", "--config_file", listed, *[f"--{key}=" for key in settings]])
    for key in settings:
        if not any(top(key) in config for config in configs.values()):  # an option of MONAI's run, which folds do not get
            raise ValueError(f"--set {key}: is no key of the configs; set one of those, or leave it out.")
    ReadPredictiond(map_class=settings.get("map_class", "predicted"), classes=classes)  # refuses what is none
    common = {"classes": list(classes)}
    made = {"train": {k: v for k, v in settings.items() if top(k) in configs["train"]} | common}
    trained = ConfigParser(configs["train"])
    for key, value in made["train"].items():
        trained[key] = value
    bundle_root = files["evaluate"][0].parents[1]
    if trained["preprocessing"] != load([bundle_root / "configs" / "train.json"])["preprocessing"]:
        raise ValueError(
            "the training config changes `preprocessing`, which evaluation would not follow; change `crop`, `normalization`, "
            "`spacing` or `roi_size`, of which it is made."
        )
    task = changed_by_task(trained.get(), bundle_root)
    for workflow in ("evaluate", "inference"):
        network = with_references(trained.get() | task, (*NETWORK, *task), list(configs[workflow]))
        own = {k: v for k, v in settings.items() if top(k) in configs[workflow] and top(k) not in network}
        made[workflow] = network | own | common
    made["train"]["manifest::root"] = made["evaluate"]["manifest::root"] = made["inference"]["found::root"] = str(root)
    return made


def of_maps_alone(files: Mapping[str, Sequence[Path]], pairs: Sequence[str]) -> list[str]:
    """The `key=value` that only inference knows, as map_class: changed, they cost new maps and no new training."""
    trained = load(files["train"])
    return sorted(pair for pair in pairs if all(top(key) not in trained for key in parse_settings([pair])))


def write_overlays(folder: Path, overlays: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """The overlays as files `<workflow>.json` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {workflow: folder / f"{workflow}.json" for workflow in overlays}
    for workflow, path in paths.items():
        write_json(overlays[workflow], path)
    return paths

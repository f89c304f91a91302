"""A bundle of one model: the overlays and values it was trained with, laid over the workflows once and for all."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.files import beside
from hrcam_monai.workflows.configs import find_config
from hrcam_monai.workflows.model_folder import CHOICES, fitting_parser
from hrcam_monai.workflows.model_settings import ModelSettingsError, read_record

__all__ = ["described", "keep_one_model", "write_texts"]

WORKFLOWS = ("train", "evaluate", "inference")
BESIDE = ("network.json", "inputs.pt")  # what a model folder holds besides the weights


def keep_one_model(
    folder: str | Path, bundle_root: str | Path, weights: str | Path, overlays: Sequence[str] | None = None
) -> dict[str, Any]:
    """Make a copy of a bundle the bundle of one model: it runs, and is served, without any overlay.

    Its workflows are those of the bundle under the overlays that fit the model's record; overlays that would make another
    network of it are gone, and its `models` holds this model alone.

    Args:
        folder: the copy, of `configs` and `models`.
        bundle_root: what it is a copy of.
        weights: the model's, with its record beside it.
        overlays: configs that it was trained with, where its record is not to tell.

    Returns:
        the configuration that it infers with.

    Raises:
        ModelSettingsError: no record, or none of the bundle's configurations agrees with it.

    Example:
        >>> keep_one_model("shared/copy", "bundle", "bundle/models/brain_tumor_t1ce/model.pt")  # doctest: +SKIP
    """
    folder, bundle_root, weights = Path(folder), Path(bundle_root), Path(weights)
    configs, models = folder / "configs", folder / "models"
    found = {workflow: _laid_over(bundle_root, weights, overlays, workflow) for workflow in WORKFLOWS}
    for workflow, config in found.items():
        (configs / f"{workflow}.json").write_text(json.dumps(config, indent=4) + "\n")
    shutil.rmtree(configs / "tasks")
    for name in {name for base in CHOICES for name in base}:
        (configs / f"{name}.json").unlink()
    shutil.rmtree(models)
    models.mkdir()
    shutil.copy(weights, models / "model.pt")
    for name in BESIDE:
        if beside(weights, name).is_file():
            shutil.copy(beside(weights, name), models / name)
    return found["inference"]


def _laid_over(bundle_root: Path, weights: Path, overlays: Sequence[str] | None, workflow: str) -> dict[str, Any]:
    """A workflow under what fits the record; of the overlays' own keys those alone that it refers to."""
    plain = ConfigParser.load_config_file(find_config(bundle_root, workflow))
    found: dict[str, Any] = fitting_parser(weights, bundle_root, overlays, workflow).get()
    kept, new = set[str](), set(plain)
    while new:
        kept |= new
        new = set(re.findall(r"@(\w+)", json.dumps([found[key] for key in new]))) & set(found) - kept
    at_home = {key: plain[key] for key in ("bundle_root", "checkpoint") if key in plain}
    return {key: value for key, value in found.items() if key in kept} | at_home


def described(metadata: Mapping[str, Any], weights: str | Path, *, first_is_finding: bool) -> dict[str, Any]:
    """The metadata of a bundle for one model: what its record tells, and what a `metadata.json` beside it says otherwise.

    Args:
        metadata: the bundle's.
        weights: the model's, with its record beside it.
        first_is_finding: the first class is a finding like the others.

    Returns:
        a copy with the model's channels and image size, its classes, and what the values of a label map mean.

    Raises:
        ModelSettingsError: no record.
    """
    record = read_record(weights)
    if record is None:
        raise ModelSettingsError(
            f"{weights}: has no record of its training beside it, so its classes are not known; train again."
        )
    settings, found = record["settings"], copy.deepcopy(dict(metadata))
    classes = Classes.of(settings["classes"], first_is_finding)
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(classes))
    image, pred = found["network_data_format"]["inputs"]["image"], found["network_data_format"]["outputs"]["pred"]
    seen = _channel_names(settings)
    image |= {"num_channels": len(seen), "channel_def": seen, "spatial_shape": _seen_at_once(settings)}
    named = {str(value): name for value, name in enumerate(classes.label_names) if name}
    pred |= {"num_channels": len(classes), "channel_def": named}
    found |= {"label_classes": listed, "pred_classes": f"logits: {listed}"}
    own = beside(weights, "metadata.json")
    return found | (json.loads(own.read_text()) if own.is_file() else {})


def _channel_names(settings: Mapping[str, Any]) -> dict[str, str]:
    """What each channel of the image holds that the network sees: the scan's own channels, then those of the slices beside it."""
    count = settings["in_channels"]
    own = ["image"] if count == 1 else [f"image, channel {i}" for i in range(count)]
    names = own + [f"{name}, slice {offset:+d}" for offset in settings.get("neighbours", []) for name in own]
    return {str(i): name for i, name in enumerate(names)}


def _seen_at_once(settings: Mapping[str, Any]) -> list[int]:
    """The shape of the image that the network sees: of volumes that it runs along, a slice."""
    axis = settings["slice_axis"]
    return [n for i, n in enumerate(settings["roi_size"]) if i != axis]


def write_texts(docs: str | Path, weights: str | Path, name: str) -> None:
    """The card, README.md, and data_license.txt of the bundle of one model: those beside the weights, or else what can be said.

    Args:
        docs: the folder that they are written into.
        weights: the model's, with its record beside it.
        name: of the bundle.
    """
    record = read_record(weights)
    classes = ", ".join(record["settings"]["classes"]) if record else ""
    for file, text in TEXTS.items():
        own = beside(weights, file)
        (Path(docs) / file).write_text(own.read_text() if own.is_file() else text.format(name=name, classes=classes))


TEXTS = {
    "README.md": """# {name}
A network that tells {classes} apart and shows where, with HR-CAM.
Whoever shares it adds here how well it does on people it has not seen.

Research software. It is not a medical device, and nothing here is a diagnosis.

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\
        --dataset_dir scans --output_dir maps
""",
    "data_license.txt": """models/model.pt was trained on images whose source and licence are not told here yet.
Whoever shares it says so in this file.
""",
}

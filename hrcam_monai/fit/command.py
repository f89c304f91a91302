"""`python -m hrcam_monai fit-head`: HR-CAM for a CNN that is trained already, on a cohort of the bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.utils import set_determinism
from torch import nn

from hrcam_monai.data.failures import reason
from hrcam_monai.data.manifest import load_manifest
from hrcam_monai.engines import calibrate
from hrcam_monai.fit import fit_head
from hrcam_monai.input_check import write_input_check
from hrcam_monai.utils.files import write_json
from hrcam_monai.utils.fingerprint import fingerprint
from hrcam_monai.weights import load_weights, save_weights
from hrcam_monai.workflows.configs import find_config
from hrcam_monai.workflows.model_settings import write_model_settings

__all__ = ["GEOMETRY", "changed_by_task", "fit_classifier", "run"]

GEOMETRY = ("spatial_dims", "slice_axis", "neighbours", "slice_sigma", "edges", "scales", "spacing", "upright", "roi_size")
TASK = ("in_channels", "resample", "crop", "normalization", "first_is_finding")  # what an overlay of a task changes besides


def _fixed_augmentation(augmentation: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that choose what is seen (slices, keys), without those that change it at random.

    Example:
        >>> _fixed_augmentation([{"_target_": "RandFlipd"}, {"_target_": "hrcam_monai.transforms.RandSlicesd"}])
        [{'_target_': 'hrcam_monai.transforms.RandSlicesd'}]
    """
    names = [str(step["_target_"]).split(".")[-1] for step in augmentation]
    return [s for s, name in zip(augmentation, names, strict=True) if name == "RandSlicesd" or not name.startswith("Rand")]


def _read_backbone(path: Path) -> dict[str, Any]:
    """The MONAI config snippet of a CNN: {"_target_": ..., ...}, or a config with it under "backbone".

    Raises:
        ValueError: not readable, or it names no class.
    """
    try:
        content = ConfigParser.load_config_file(path)
    except Exception as error:
        raise ValueError(f"{path}: not a readable config ({reason(error)}).") from None
    snippet = content.get("backbone", content) if isinstance(content, dict) else None
    if not isinstance(snippet, dict) or "_target_" not in snippet:
        raise ValueError(f'{path}: names no network; write {{"_target_": "monai.networks.nets.DenseNet121", ...}}.')
    return snippet


def _input_channels(network: nn.Module, default: int) -> int:
    """Channels of the images that a CNN takes, by its first convolution; the default where it has none.

    Example:
        >>> _input_channels(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), 1)
        3
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
    return default if first is None else first.in_channels


def _training_parser(
    backbone: Path, dataset_dir: Path, output: Path, taps: Sequence[str], configs: Sequence[Path], bundle_root: Path
) -> ConfigParser:
    """train.json, with the CNN in place of its own, the manifest's classes, the CNN's channels, `gap`, and images as they are."""
    parser = ConfigParser()
    parser.read_config([str(c) for c in configs])
    parser["bundle_root"] = str(bundle_root)
    parser["dataset_dir"] = str(dataset_dir)
    parser["output_dir"] = str(output)
    parser["classes"] = load_manifest(dataset_dir).classes
    parser["backbone"] = _read_backbone(backbone)
    parser["pooling"] = "gap"
    parser["reference"] = None
    parser["in_channels"] = _input_channels(parser.get_parsed_content("backbone"), parser["in_channels"])
    if taps:
        parser["network_def::taps"] = list(taps)
    parser["augmentation"] = _fixed_augmentation(parser["augmentation"])
    return parser


def changed_by_task(config: Mapping[str, Any], bundle_root: Path) -> dict[str, Any]:
    """The `TASK` keys of a training config that its overlays have changed: evaluation and inference must see images alike.

    Those that are as in the bundle's train.json are left out, for the other workflows have their own. What moves an image moves
    its mask, too.
    """
    default = ConfigParser.load_config_file(bundle_root / "configs" / "train.json")
    told = {key: config[key] for key in TASK if key in config and config[key] != default.get(key)}
    for step in ("resample", "crop"):
        keys = told.get(step, {}).get("keys", ["mask"])
        if "mask" not in keys:
            moved = [*([keys] if isinstance(keys, str) else keys), "mask"]
            told[step] = told[step] | {"keys": moved, "allow_missing_keys": True}
    return told


def _overlay_of(parser: ConfigParser, taps: Sequence[str], bundle_root: Path) -> dict[str, Any]:
    """What evaluate.json and inference.json must be told about the network."""
    told = {key: parser[key] for key in ("backbone", "pooling", "reference", "flip_axes", "classes", *GEOMETRY)}
    told |= changed_by_task(parser.get(), bundle_root)
    return told | ({"network_def::taps": list(taps)} if taps else {})


def run(parser: ConfigParser, checkpoint: Path, output: Path, seed: int, cache: Path | None, tolerance: float) -> None:
    """Fit, calibrate on the validation volumes where there are some, and write the outputs."""
    set_determinism(seed)
    load_weights(parser.get_parsed_content("backbone"), checkpoint)
    network = parser.get_parsed_content("network_def")
    device = parser.get_parsed_content("device")
    network.to(device)
    output.mkdir(parents=True, exist_ok=True)
    loader = parser.get_parsed_content("train::dataloader")
    manifest = parser.get_parsed_content("manifest")
    seen = {key: parser[key] for key in ("preprocessing", "augmentation", *TASK, *GEOMETRY) if key in parser.get()}
    data = json.dumps([manifest.data_hash(), fingerprint(manifest.path), seen], default=str) if cache else ""
    fit_head(network, loader, cache=cache, report=output / "head_fit.json", tolerance=tolerance, seed=seed, data=data)
    if manifest.entries.get("validation"):
        calibrate(network, parser.get_parsed_content("inferer"), parser.get_parsed_content("validate::dataloader"), device)
    save_weights(network, output / "model.pt")
    write_model_settings(output / "model.pt", parser.get_parsed_content("model_settings"))
    training = parser.get_parsed_content("train::dataset").items()
    held_out = parser.get_parsed_content("validate::dataset").items() if manifest.entries.get("validation") else []
    write_input_check(output / "model.pt", network, training, held_out, slice_axis=parser.get_parsed_content("slice_axis"))
    write_json(_overlay_of(parser, network.taps, Path(parser["bundle_root"])), output / "backbone.json")


def fit_classifier(
    backbone: Path,
    checkpoint: Path,
    dataset_dir: Path,
    output: Path,
    taps: Sequence[str] = (),
    bundle_root: Path = Path("bundle"),
    config: Path | None = None,
    overlays: Sequence[str] = (),
    cache: Path | None = None,
    tolerance: float = 0.02,
    seed: int = 0,
) -> None:
    """Fit the head on the training subjects of a cohort, and write `model.pt`, `backbone.json` and `head_fit.json`.

    Args:
        backbone: MONAI config of the CNN.
        checkpoint: its weights.
        dataset_dir: folder of manifest.json.
        output: folder of what is written.
        taps: modules to tap; found by default.
        bundle_root: folder of the bundle.
        config: preprocessing; the bundle's train.json by default.
        overlays: configs after it: files, or names of the bundle's.
        cache: file that keeps the pooled features.
        tolerance: held-out AUC that may be given for better maps.
        seed: of the slices drawn and of the images kept.

    Raises:
        FileNotFoundError: no such config, manifest or checkpoint.
        ValueError: weights of another network, or what `fit_head` refuses.
        SystemExit: status 1 at the end, if subjects could not be read.
    """
    configs = [find_config(bundle_root, name) for name in (config or "train", *overlays)]
    parser = _training_parser(backbone, dataset_dir, output, taps, configs, bundle_root)
    run(parser, checkpoint, output, seed, cache, tolerance)
    parser.get_parsed_content("failures").finish()

"""What a network was trained with, kept beside its weights, so that they cannot be run as another without a word.

A file of weights holds tensors alone. How they are pooled, what their classes are called and how images are prepared stands in
the configuration, and weights run under another one give wrong labels and wrong maps.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

import hrcam_monai
from hrcam_monai.data.manifest import named_classes
from hrcam_monai.utils.distributed import is_main_process
from hrcam_monai.utils.files import beside, file_hash, write_json
from hrcam_monai.utils.fingerprint import fingerprint
from hrcam_monai.weights import load_weights

__all__ = [
    "ModelSettingsError",
    "check_model_settings",
    "comparable",
    "differences",
    "load_model",
    "read_record",
    "settings_file",
    "trained_classes",
    "write_model_settings",
]

logger = logging.getLogger(__name__)
# of transforms: what differs between training, which reads images alone, and evaluation, which moves masks along
OF_THE_KEYS = (
    "keys",
    "first_key",
    "mode",
    "padding_mode",
    "align_corners",
    "dtype",
    "allow_missing_keys",
    "ensure_same_shape",
    "scale_extent",
)


PLACING = ("edges", "scales")  # say how well a map is placed, and change neither class nor probability


class ModelSettingsError(ValueError):
    """Weights that would be run with other settings than they were trained with, or whose settings cannot be read."""


def settings_file(weights: str | Path) -> Path:
    """Where the settings of a file of weights are: `network.json` beside `model.pt`, `NAME_network.json` beside others.

    Example:
        >>> settings_file("run/model.pt").name, settings_file("run/two_stage.pt").name
        ('network.json', 'two_stage_network.json')
    """
    return beside(weights, "network.json")


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them; of transforms what they do to an image, whatever else they move."""

    def pruned(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: pruned(v) for k, v in value.items() if k not in OF_THE_KEYS}
        return [pruned(v) for v in value] if isinstance(value, list) else value

    return {key: pruned(fingerprint(value)) for key, value in settings.items()}


def write_model_settings(weights: str | Path, settings: Mapping[str, Any]) -> None:
    """Write what a network was trained with beside its weights.

    Args:
        weights: the file, written already.
        settings: by name, as the configuration has them (`model_settings` of the bundle's).

    Example:
        >>> write_model_settings("run/model.pt", {"pooling": "lse"})  # doctest: +SKIP
    """
    if is_main_process():
        made = {"hrcam_monai": hrcam_monai.__version__, "weights": file_hash(weights), "settings": comparable(settings)}
        write_json(made, settings_file(weights))


def read_record(weights: str | Path) -> dict[str, Any] | None:
    """The record beside weights: `settings`, and the hash of the `weights` that it is of. None where there is none.

    Raises:
        ModelSettingsError: torn or foreign.
    """
    path = settings_file(weights)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text())
        return {"settings": dict(record["settings"]), "weights": record["weights"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelSettingsError(f"{path}: no whole record of a network; train again, or remove it to run without.") from None


def trained_classes(weights: str | Path | None, source: str | Path) -> list[str]:
    """The class names that a network was trained with, by the record beside its weights; without one those of the manifest.

    Args:
        weights: the file, or None.
        source: folder of manifest.json, or what else is read.

    Raises:
        ModelSettingsError: the record is torn or foreign.

    Example:
        >>> trained_classes("bundle/models/brain_tumor_t1ce/model.pt", "slices")  # doctest: +SKIP
        ['meningioma', 'glioma', 'pituitary']
    """
    record = None if weights is None else read_record(weights)
    listed = (record or {}).get("settings", {}).get("classes")
    return [str(c) for c in listed] if isinstance(listed, list) else named_classes(source)


def differences(trained: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """In what a run differs from a training, a sentence each.

    Example:
        >>> differences({"pooling": "lse", "edges": 0}, {"pooling": "gap", "edges": 0})
        ['pooling was "lse", is "gap"']
    """
    run = comparable(settings)
    return [
        f"{key} was {_short(trained[key])}, is {_short(run[key])}" for key in trained if key in run and trained[key] != run[key]
    ]


def check_model_settings(weights: str | Path, settings: Mapping[str, Any], insist: bool = False) -> None:
    """See that weights are run with what they were trained with. Weights without a record are let through, and that is told.

    How maps are placed, along edges and across scales, may be chosen: that is told, and no fault.

    Args:
        weights: the file.
        settings: what they are to be run with.
        insist: differences are told, and no error.

    Raises:
        ModelSettingsError: settings differ, or the record is torn, foreign, or of other weights; the message names the file and
            each difference.
    """
    path, record = settings_file(weights), read_record(weights)
    if record is None:
        if Path(weights).is_file():
            logger.warning("%s: has no %s beside it; whether it was trained with these settings is not known", weights, path.name)
        return
    faults = []
    if Path(weights).is_file() and record["weights"] != file_hash(weights):
        faults.append(f"{path} is of other weights than {Path(weights).name}")
    trained = record["settings"]
    if placed := differences({key: trained[key] for key in PLACING if key in trained}, settings):
        logger.info(
            "%s: maps are read otherwise than as trained (%s); class and probabilities are the same", weights, "; ".join(placed)
        )
    faults += differences({key: value for key, value in trained.items() if key not in PLACING}, settings)
    if not faults:
        return
    told = f"{weights}: not trained with what it is to be run with: {'; '.join(faults)}"
    if insist:
        logger.warning("%s; run all the same", told)
        return
    raise ModelSettingsError(
        f"{told}. List the overlays and options of its training (`hrcam infer` and `hrcam evaluate` find them), or --insist True."
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def load_model(network: nn.Module, path: str | Path | None, settings: Mapping[str, Any], insist: bool = False) -> None:
    """Load weights into the network that they were trained as: `load_weights`, then `check_model_settings`.

    Raises:
        ModelSettingsError, FileNotFoundError, ValueError: as these two. Of weights that do not fit the network, settings that
            differ are told, too: they tell which overlay was left out, which shapes would not.
    """
    try:
        load_weights(network, path)
    except ValueError as error:
        record = None if path is None else read_record(path)
        others = differences(record["settings"], settings) if record else []
        raise ValueError(f"{error} It was trained with other settings: {'; '.join(others)}." if others else str(error)) from None
    if path is not None:
        check_model_settings(path, settings, insist)

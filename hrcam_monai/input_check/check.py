"""What a network's training images were like, kept beside its weights, and new images held against it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.data import set_rnd
from monai.transforms import Transform
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.input_check.descriptors import describe
from hrcam_monai.input_check.familiar import Familiar
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.utils.distributed import is_main_process
from hrcam_monai.utils.files import beside, write_tensors
from hrcam_monai.weights import load_weights

__all__ = ["CHECK", "CheckInputd", "check_file", "is_unlike", "read_input_check", "unlike", "write_input_check"]

logger = logging.getLogger(__name__)
SEED = 0  # of what varies the training images that a check is learnt from
CHECK = "input_check"  # key of an item, and column of predictions.csv
AS_TRAINED, NOT_KNOWN, UNLIKE = "as trained", "not known", "unlike the training scans"
TOLD = {
    "size": "its size or field of view",
    "layout": "how it lies or what part it shows",
    "intensities": "its contrast or weighting",
    "grain": "its noise or sharpness",
    "features": "what the network sees in it",
}


def is_unlike(row: Mapping[str, Any]) -> bool:
    """Whether a line of predictions.csv, or an item, is of a scan that is unlike the training scans.

    Example:
        >>> is_unlike({"input_check": "unlike the training scans: its noise or sharpness (2.0 x)"}), is_unlike({})
        (True, False)
    """
    return str(row.get(CHECK, "")).startswith(UNLIKE)


def check_file(weights: str | Path) -> Path:
    """Where what the training images were like is kept: `inputs.pt` beside `model.pt`, `NAME_inputs.pt` beside others.

    Example:
        >>> check_file("run/model.pt").name, check_file("run/two_stage.pt").name
        ('inputs.pt', 'two_stage_inputs.pt')
    """
    return beside(weights, "inputs.pt")


def write_input_check(
    weights: str | Path,
    network: nn.Module,
    training: Iterable[Mapping[str, Any]],
    held_out: Iterable[Mapping[str, Any]],
    *,
    slice_axis: int | None = None,
) -> None:
    """Describe the images of a training and of its validation, and keep beside the weights what they are like.

    Args:
        weights: the network's file.
        network: as it was trained.
        training, held_out: items whose `image` is preprocessed, [C, *spatial]; people of one are not in the other. Where random
            transforms vary them, they draw the same each time.
        slice_axis: as `describe`. With too few images nothing is kept, and that is told.

    Example:
        >>> write_input_check("run/model.pt", network, training, validation, slice_axis=2)  # doctest: +SKIP
    """
    if not is_main_process():
        return
    device = next(network.parameters()).device
    set_rnd(training, SEED)

    def described(items: Iterable[Mapping[str, Any]]) -> dict[str, Tensor]:
        made = [
            describe(torch.as_tensor(item["image"]).to(device), network, slice_axis=slice_axis)
            for item in tqdm(items, desc="input check", unit="image", leave=False)
        ]
        return {name: torch.stack([one[name] for one in made]) for name in made[0]} if made else {}

    known, other = described(training), described(held_out)
    if not known or not other or len(known["size"]) < 2:
        logger.warning("%s: too few images to tell later which scans are unlike them", weights)
        return
    learnt = {name: Familiar.learn(vectors, other[name]) for name, vectors in known.items()}
    kept = {name: {"mean": f.mean, "whiten": f.whiten, "limit": f.limit} for name, f in learnt.items()}
    write_tensors(kept, check_file(weights))


def read_input_check(weights: str | Path) -> dict[str, Familiar] | None:
    """What is kept beside weights; None where there is nothing.

    Raises:
        ValueError: torn or foreign.
    """
    path = check_file(weights)
    if not path.is_file():
        return None
    try:
        return {name: Familiar(**kept) for name, kept in torch.load(path, weights_only=True).items()}
    except Exception as error:  # torch raises many kinds
        raise ValueError(
            f"{path}: no whole file of a network's inputs ({type(error).__name__}); train again, or remove it."
        ) from None


def unlike(image: Tensor, network: nn.Module, known: Mapping[str, Familiar], slice_axis: int | None = None) -> str:
    """In what an image is unlike the training images, in words, with the distance as a multiple of the limit; "" if in nothing.

    Args:
        image: [C, *spatial], preprocessed.
        network: as `describe`.
        known: of `read_input_check`.
        slice_axis: as `describe`.

    Raises:
        ValueError: `known` is of another network, or of other images.
    """
    described = {name: vector for name, vector in describe(image, network, slice_axis=slice_axis).items() if name in known}
    if any(vector.shape != known[name].mean.shape for name, vector in described.items()):
        raise ValueError("what is kept of the training images is of another network.")
    found = {name: known[name].excess(vector) for name, vector in described.items()}
    beyond = sorted(((excess, name) for name, excess in found.items() if not excess <= 1), reverse=True)
    return ", ".join(f"{TOLD.get(name, name)} ({excess:.1f} x)" for excess, name in beyond)


class CheckInputd(Transform):
    """Hold an image against those that its network was trained on: `input_check` becomes "as trained", or tells what is unlike.

    It runs before the image's maps are read, on what the network was given.

    Args:
        weights: of the network, or an exported one; what its training images were like lies beside them. None for a network
            without, of which nothing is known.
        network: an HRCAMNet, or an exported one.
        slice_axis: as `describe`.
        strict: refuse images that are unlike, in place of marking them.

    Raises:
        ValueError: with `strict`, an image that is unlike; the message names its file. What lies beside the weights is torn, or
            of another network.

    Example:
        >>> CheckInputd("models/model.pt", network, 2)({"image": image})["input_check"]  # doctest: +SKIP
        'unlike the training scans: its contrast or weighting (2.4 x)'
    """

    def __init__(
        self, weights: str | Path | None, network: nn.Module, *, slice_axis: int | None = None, strict: bool = False
    ) -> None:
        self.weights, self.network, self.slice_axis, self.strict = weights, network, slice_axis, strict

    @cached_property
    def known(self) -> dict[str, Familiar] | None:
        """What the training images were like, read once, as the weights are; where nothing is kept, that is told once."""
        found = None if self.weights is None else read_input_check(self.weights)
        if found is None:
            beside = self.weights and f"{self.weights}: has no {check_file(self.weights).name} beside it"
            logger.warning("%s; whether scans are like those it was trained on is not known", beside or "no weights are given")
        elif self.weights is not None and isinstance(self.network, HRCAMNet) and Path(self.weights).is_file():
            # a MONAI Label server infers with an instance of its own, and leaves this one as it was made
            load_weights(self.network, self.weights)
        return found

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.known is None and self.strict:
            raise ValueError(
                f"{d.get('file', 'image')}: nothing is kept of what the network was trained on, so strict cannot let it pass; "
                "make it by `hrcam learn-inputs`."
            )
        if self.known is None:
            return d | {CHECK: NOT_KNOWN}
        image = torch.as_tensor(d["image"])  # of an engine: on the network's device
        found = unlike(image, self.network, self.known, self.slice_axis)
        if found and self.strict:
            raise ValueError(f"{d.get('file', 'image')}: is unlike the scans that the network was trained on: {found}. Left out.")
        if found:
            logger.warning("%s: is unlike the scans that the network was trained on: %s", d.get("subject", "image"), found)
        return d | {CHECK: f"{UNLIKE}: {found}" if found else AS_TRAINED}

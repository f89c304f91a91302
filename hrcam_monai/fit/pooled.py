"""One pass of images through a frozen CNN: the pooled features of every level, kept for fitting a head to them."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.networks.dataflow import trace
from hrcam_monai.networks.hrcam_net import HRCAMNet
from hrcam_monai.networks.level_head import upsampled_mean
from hrcam_monai.utils.files import write_tensors
from hrcam_monai.weights import network_hash

__all__ = ["cached", "collect", "labels_of", "levels_and_output", "logits_of"]

logger = logging.getLogger(__name__)

CACHE = 2  # what is in a cache; others are made anew
HELD_OUT_EVERY = 5  # of the subjects of each class, one in this many is held out


def levels_and_output(net: HRCAMNet, x: Tensor) -> tuple[list[Tensor], Any]:
    """Feature maps, and what the CNN's own classifier puts out."""
    outputs: list[Any] = []
    handle = net.backbone.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        levels = net.features(x)
        if net.listed:
            net.backbone(x)
    finally:
        handle.remove()
    return levels, outputs[-1]


def logits_of(output: Any, classes: int, last_function: str) -> Tensor | None:
    """Logits [B, K] of what a classifier puts out; None where it is nothing of the kind.

    It puts out K of them, or the single one of two classes, [B, 1] or [B], or the probabilities that a sigmoid or softmax made
    of them.

    Args:
        output: of the classifier.
        classes: K.
        last_function: that it ends in; see `Dataflow.last_function`.

    Example:
        >>> logits_of(torch.tensor([0.5]), 2, "sigmoid")
        tensor([[0., 0.]])
    """
    if not isinstance(output, Tensor) or output.ndim not in (1, 2) or (output.ndim == 1 and classes != 2):
        return None
    values = (output if output.ndim == 2 else output[:, None]).float()
    if values.shape[1] != classes and (values.shape[1] != 1 or classes != 2):
        return None
    if last_function == "sigmoid":
        values = values.logit(eps=1e-7)
    elif last_function == "softmax":
        values = values.clamp_min(1e-12).log()
    return values if values.shape[1] == classes else torch.cat([torch.zeros_like(values), values], 1)


def labels_of(y: Tensor, classes: int) -> Tensor:
    """Labels [B] of indices [B] or [B, 1], or of one-hot rows [B, K].

    Raises:
        ValueError: rows that name several classes, or none.
    """
    if y.ndim == 2 and y.shape[1] == classes > 1:
        if not bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all()):
            raise ValueError(
                f"Labels are rows of {classes} that are not one-hot; HR-CAM's head tells classes apart: one an image."
            )
        return y.argmax(1)
    return y.reshape(-1)


def _read_batch(net: HRCAMNet, batch: Any, start: int) -> tuple[Tensor, Tensor, list[str]]:
    """Images, labels and subjects of a batch; an image without a subject is one of its own."""
    named, classes = isinstance(batch, dict), net.head.num_classes
    if named and not {"image", "label"} <= batch.keys():
        raise ValueError(f"A batch has the keys {sorted(map(str, batch))}; fit_head needs 'image' and 'label'.")
    x, y = (batch["image"], batch["label"]) if named else batch[:2]
    x = torch.as_tensor(x).float()
    x = x.as_tensor() if isinstance(x, MetaTensor) else x
    if x.ndim != net.spatial_dims + 2:
        raise ValueError(f"Images have shape {list(x.shape)}; the network takes [B, C, *spatial] of {net.spatial_dims} axes.")
    labels = labels_of(torch.as_tensor(y), classes).cpu()
    if len(labels) != len(x):
        raise ValueError(f"A batch has {len(x)} images and {len(labels)} labels; give one label an image, 0 to {classes - 1}.")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"Images {start} to {start + len(x) - 1}: some values are not finite; repair or leave out these images.")
    if bool(((labels < 0) | (labels >= classes) | (labels != labels.long())).any()):
        raise ValueError(
            f"Images {start} to {start + len(x) - 1}: labels are {labels.tolist()}; they must be 0 to {classes - 1}."
        )
    if named and "subject" in batch:
        return x, labels.long(), [str(s) for s in batch["subject"]]
    return x, labels.long(), [f"image {start + i}" for i in range(len(x))]


def collect(net: HRCAMNet, loader: Iterable[Any], images: int, seed: int) -> dict[str, Any]:
    """The pass over the loader: pooled features, labels, who is held out, the CNN's logits, some held-out images."""
    classes, device = net.head.num_classes, net.head.weight.device
    draw = torch.Generator().manual_seed(seed)
    aside: dict[str, bool] = {}  # subject: held out?
    subjects_of: Counter[int] = Counter()
    seen_of: Counter[int] = Counter()
    kept: dict[int, list[Tensor]] = {k: [] for k in range(classes)}
    held: list[bool] = []
    pooled, labels, logits, strides = [], [], [], []
    last_function = ""
    for batch in tqdm(loader, desc="pooled features", unit="batch"):
        x, y, subjects = _read_batch(net, batch, len(held))
        size = list(x.shape[2:])
        if not held:
            last_function = trace(net.backbone, x[:1].to(device)).last_function()
        levels, output = levels_and_output(net, x.to(device))
        own = logits_of(output, classes, last_function)
        if own is None and not held:
            told = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            logger.warning("The CNN puts out %s, no logits of %d classes: the fit is judged without it.", told, classes)
        strides.append([math.prod(a / b for a, b in zip(size, f.shape[2:], strict=True)) ** (1 / len(size)) for f in levels])
        pooled.append(torch.cat([upsampled_mean(f.float(), size) for f in levels], 1).cpu())
        labels.append(y)
        logits.append(own.cpu() if own is not None else None)
        for image, label, subject in zip(x, y.tolist(), subjects, strict=True):
            if subject not in aside:
                aside[subject] = subjects_of[label] % HELD_OUT_EVERY == 1
                subjects_of[label] += 1
            held.append(aside[subject])
            if aside[subject]:  # reservoir sampling: each held-out image of a class is as likely to be kept
                seen_of[label] += 1
                room = max(images // classes, 1)
                place = int(torch.randint(seen_of[label], (1,), generator=draw))
                if len(kept[label]) < room:
                    kept[label].append(image.cpu().clone())
                elif place < room:
                    kept[label][place] = image.cpu().clone()
    if not held:
        raise ValueError("The loader is empty; give it images of every class.")
    features, targets = torch.cat(pooled).double(), torch.cat(labels)
    counts = targets.bincount(minlength=classes).tolist()
    if 0 in counts:
        raise ValueError(f"Class {counts.index(0)} has no image in the loader; give it images of every class.")
    if not bool(torch.isfinite(features).all()):
        raise ValueError("The CNN's features are not finite; check its weights, and that images are scaled as in its training.")
    return {
        "pooled": features,
        "labels": targets,
        "held": torch.tensor(held),
        "logits": None if any(z is None for z in logits) else torch.cat(logits),  # type: ignore[arg-type]
        "last_function": last_function,
        "strides": torch.tensor(strides, dtype=torch.float64).mean(0),
        "images": [image for group in kept.values() for image in group],
    }


def cached(
    net: HRCAMNet, loader: Iterable[Any], images: int, seed: int, cache: str | Path | None, data: str = ""
) -> dict[str, Any]:
    """What the pass finds, from the cache where it is the same CNN's on the same `data`, which the caller names.

    Raises:
        ValueError: the file is there, and is no cache.
    """
    if cache is None:
        return collect(net, loader, images, seed)
    asked = (CACHE, net.taps, net.head.in_channels, net.head.num_classes, images, seed, data, network_hash(net.backbone))
    made_by = hashlib.sha256(repr(asked).encode()).hexdigest()
    path = Path(cache)
    if path.is_file():
        try:
            found = torch.load(path, weights_only=True)
        except Exception:  # torch raises many kinds
            found = None
        if not isinstance(found, dict) or "made_by" not in found:  # it may be anything: do not write over it
            raise ValueError(f"{path}: not a cache of fit_head; name another file.")
        if found["made_by"] == made_by:
            logger.info("pooled features: from %s", path)
            return found
        logger.warning("%s is of another CNN, other images or other options; it is made anew.", path)
    found = collect(net, loader, images, seed) | {"made_by": made_by}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(found, path)
    return found

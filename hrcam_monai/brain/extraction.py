"""Find the brain in a whole head: the networks of deepbet, run with torch alone."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_fill_holes, generate_binary_structure, label
from torch import Tensor

from hrcam_monai.brain.stripped import litres, voxel_mm3

__all__ = ["NoBrainError", "brain_mask"]

TOOL = "deepbet"
COARSE, FINE = (128,) * 3, (256,) * 3  # grids that the two networks were trained on: whole field, and about the brain
MARGIN = 0.1  # share of the brain's box that is looked at beside it
SEEN = 0.02  # share of a plane that must be brain for the box to begin
DARK, BRIGHT = 0.005, 0.995  # quantiles that become 0 and 1
MEAN, STD = 0.449, 0.226  # of the intensities that the networks were trained on
LEAST_LITRES, MOST_LITRES = 0.5, 2.3  # of a brain; smaller and larger masks are not one
MOST_OF_SECOND = 0.1  # size of a second part, as a share of the first
MOST_OF_FIELD = 0.7  # share of the field of view that a head's brain may fill


REMEDY = "check that it shows a whole head"


class NoBrainError(ValueError):
    """A brain was not found, or not so that it can be trusted. The message begins after the image's name."""


@lru_cache(maxsize=1)
def _networks() -> tuple[Any, Any]:
    """The network that finds the brain's box, and the one that outlines it there."""
    try:
        package = distribution(TOOL)
    except PackageNotFoundError:
        raise ImportError(f"{TOOL} is not installed, and a head must be stripped: pip install {TOOL}.") from None
    files = (package.locate_file(f"data/models/{name}.pt") for name in ("bbox_model", "model"))
    box, outline = (torch.jit.load(str(file), map_location="cpu").eval() for file in files)
    return box, outline


def _on(grid: tuple[int, ...], values: Tensor) -> Tensor:
    """[X, Y, Z] -> [1, 1, *grid]."""
    return F.interpolate(values[None, None], grid, mode="nearest-exact")


def _normal(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    scaled = ((values - low) / (high - low)).clamp(0, 1)
    return (scaled - scaled.mean()) / scaled.std() * STD + MEAN


def _box(found: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box of a mask on the coarse grid, with its margin, in voxels of the image."""
    box = []
    for axis, size in enumerate(shape):
        planes = np.flatnonzero(found.mean(axis=tuple(a for a in range(3) if a != axis)) > SEEN)
        if not len(planes):
            raise NoBrainError(f"no brain is found in it; {REMEDY}.")
        scale = size / found.shape[axis]
        low, high = planes[0] * scale, (planes[-1] + 1) * scale
        wider = MARGIN * (high - low)
        box.append(slice(max(round(low - wider), 0), min(round(high + wider), size)))
    return tuple(box)


def _parts(mask: Tensor) -> tuple[np.ndarray, float]:
    """The largest part of a mask, and the size of the next as a share of it."""
    parts, count = label(mask.cpu().numpy(), generate_binary_structure(3, 3))
    if not count:
        raise NoBrainError(f"no brain is found in it; {REMEDY}.")
    sizes = np.bincount(parts.ravel())[1:]
    first, *others = np.argsort(-sizes)
    return parts == first + 1, float(sizes[others[0]] / sizes[first]) if others else 0.0


@torch.no_grad()
def brain_mask(image: np.ndarray, affine: np.ndarray, *, device: str | torch.device = "cpu") -> np.ndarray:
    """The brain of a whole head, of any contrast.

    Two 3-D U-Nets, one that finds the brain's box and one that outlines it there: deepbet (Fisch et al., Computers in Biology and
    Medicine 2024), whose weights come in its wheel.

    Args:
        image: [X, Y, Z], in any orientation.
        affine: voxel index to world mm (RAS+), 4x4.
        device: that the networks run on.

    Returns:
        bool [X, Y, Z].

    Raises:
        NoBrainError: nothing is found, or what is found is no brain: too small, too large, in two parts, or all of the image.
        ImportError: deepbet is not installed.

    Example:
        >>> brain_mask(head, affine).sum()  # doctest: +SKIP
        1793202
    """
    turn = nib.io_orientation(affine)
    upright = np.ascontiguousarray(nib.apply_orientation(np.nan_to_num(image.astype(np.float32)), turn))
    values = torch.from_numpy(upright).to(device)
    box_network, outline_network = (network.to(device) for network in _networks())
    small = _on(COARSE, values)
    low, high = small.quantile(DARK), small.quantile(BRIGHT)
    if not low < high:
        raise NoBrainError("shows nothing but one value; check how it was made.")
    rough, _ = _parts(box_network(_normal(small, low, high))[0, 1] > 0.5)
    box = _box(rough, upright.shape)
    there = _normal(_on(FINE, values[box]), low, high)
    likely = F.interpolate(outline_network(there)[:, 1:2], values[box].shape, mode="nearest-exact")[0, 0]
    largest, second = _parts(likely > 0.5)
    brain = np.zeros(upright.shape, bool)
    brain[box] = binary_fill_holes(largest)
    _check(brain, second, voxel_mm3(affine))
    return nib.apply_orientation(brain, nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), turn))


def _check(brain: np.ndarray, second: float, voxel: float) -> None:
    """See that a mask can be a brain's; `second` is the size of its second part, `voxel` mm3."""
    size = litres(brain, voxel)
    if not LEAST_LITRES <= size <= MOST_LITRES:
        raise NoBrainError(f"what seems to be its brain has {size:.2f} litres; {REMEDY}.")
    if brain.mean() > MOST_OF_FIELD:
        raise NoBrainError(f"what seems to be its brain fills {brain.mean():.0%} of it; {REMEDY}.")
    if second > MOST_OF_SECOND:
        raise NoBrainError(f"what seems to be its brain is in two parts; {REMEDY}.")

"""Find the brain in a whole head with the networks of deepbet, run with torch alone."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import distribution
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hrcam_monai.brain.parts import largest_part

__all__ = ["find_brain"]

COARSE, FINE = (128,) * 3, (256,) * 3  # grids that the two networks were trained on: whole field, and about the brain
MARGIN = 0.1  # share of the brain's box that is looked at beside it
SEEN = 0.02  # share of a plane that must be brain for the box to begin
DARK, BRIGHT = 0.005, 0.995  # quantiles that become 0 and 1
MEAN, STD = 0.449, 0.226  # of the intensities that the networks were trained on


@lru_cache(maxsize=1)
def _networks() -> tuple[Any, Any]:
    """The network that finds the brain's box, and the one that outlines it there."""
    package = distribution("deepbet")
    files = (package.locate_file(f"data/models/{name}.pt") for name in ("bbox_model", "model"))
    box, outline = (torch.jit.load(str(file), map_location="cpu").eval() for file in files)
    return box, outline


def _on(grid: tuple[int, ...], values: Tensor) -> Tensor:
    """[X, Y, Z] -> [1, 1, *grid]."""
    return F.interpolate(values[None, None], grid, mode="nearest-exact")


def _normal(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    scaled = ((values - low) / (high - low)).clamp(0, 1)
    return (scaled - scaled.mean()) / scaled.std() * STD + MEAN


def _box(found: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    """The box of a mask on the coarse grid, with its margin, in voxels of the image; None where there is hardly any."""
    box = []
    for axis, size in enumerate(shape):
        planes = np.flatnonzero(found.mean(axis=tuple(a for a in range(3) if a != axis)) > SEEN)
        if not len(planes):
            return None
        scale = size / found.shape[axis]
        low, high = planes[0] * scale, (planes[-1] + 1) * scale
        wider = MARGIN * (high - low)
        box.append(slice(max(round(low - wider), 0), min(round(high + wider), size)))
    return tuple(box)


@torch.no_grad()
def find_brain(upright: np.ndarray, spacing: tuple[float, ...], device: str | torch.device) -> np.ndarray:
    """The brain, as two 3-D U-Nets see it: one finds its box, the other outlines it there.

    deepbet (Fisch et al., Computers in Biology and Medicine 2024); its weights come in its wheel.

    Args:
        upright: float32 [X, Y, Z], axes from left to right, back to front, bottom to top (RAS).
        spacing: of the voxels, mm; not needed here.
        device: that the networks run on.

    Returns:
        bool [X, Y, Z], in one part or several, or in none.

    Example:
        >>> find_brain(head, (1.0, 1.0, 1.0), "cpu").sum()  # doctest: +SKIP
        1793202
    """
    values = torch.from_numpy(upright).to(device)
    box_network, outline_network = (network.to(device) for network in _networks())
    small = _on(COARSE, values)
    low, high = small.quantile(DARK), small.quantile(BRIGHT)
    brain = np.zeros(upright.shape, bool)
    if not low < high:
        return brain
    rough = (box_network(_normal(small, low, high))[0, 1] > 0.5).cpu().numpy()
    box = _box(largest_part(rough)[0], upright.shape)
    if box is not None:
        there = _normal(_on(FINE, values[box]), low, high)
        likely = F.interpolate(outline_network(there)[:, 1:2], values[box].shape, mode="nearest-exact")[0, 0]
        brain[box] = (likely > 0.5).cpu().numpy()
    return brain

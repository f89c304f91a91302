"""How well a map shows where a lesion is, given its mask. One map [*spatial], one mask of the same shape, 2-D or 3-D.

Every measure is a function of (heat, mask), so that `SubjectMetric` can stream it over a cohort:

    >>> from hrcam_monai.metrics import SubjectMetric
    >>> metric = SubjectMetric(pixel_average_precision)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "EmptyMaskError",
    "best_dice",
    "best_iou",
    "energy_inside",
    "fixed_dice",
    "localization_scores",
    "peak_distance",
    "pixel_average_precision",
    "pointing_game",
]


class EmptyMaskError(ValueError):
    """A mask without a voxel: there is no lesion to localise."""


def _checked(heat: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, truth = np.asarray(heat, dtype=np.float64), np.asarray(mask) > 0
    if values.shape != truth.shape:
        raise ValueError(f"map is {values.shape}, mask is {truth.shape}; they must be on one grid.")
    if not np.isfinite(values).all():
        raise ValueError("the map has values that are not finite.")
    if not truth.any():
        raise EmptyMaskError("the mask is empty: localisation is not defined without a lesion.")
    return values, truth


def _ranked(values: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of the mask found, and voxels taken, at every threshold from the highest value down to the mask's lowest.

    scikit-learn's curves hold the same; one sort here serves both measures, and only of the voxels that can count.
    """
    flat, inside = values.ravel(), truth.ravel()
    chosen = flat >= flat[inside].min()  # further down nothing more of the mask is found
    flat, inside = flat[chosen], inside[chosen]
    order = np.argsort(-flat)
    hits, taken = np.cumsum(inside[order]), np.arange(1, len(order) + 1)
    ends = np.append(np.diff(flat[order]) != 0, True)  # equal values are taken together
    return hits[ends], taken[ends]


def pixel_average_precision(heat: ArrayLike, mask: ArrayLike) -> float:
    """Area under precision over recall of the map's values as scores of the mask's voxels; chance is the mask's share.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> pixel_average_precision([[0.9, 0.1]], [[1, 0]])
        1.0
    """
    values, truth = _checked(heat, mask)
    return _average_precision(*_ranked(values, truth), int(truth.sum()))


def best_dice(heat: ArrayLike, mask: ArrayLike) -> float:
    """The highest Dice that any threshold on the map reaches.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> best_dice([[0.9, 0.8, 0.1]], [[1, 0, 0]])
        1.0
    """
    values, truth = _checked(heat, mask)
    return _best_dice(*_ranked(values, truth), int(truth.sum()))


def _average_precision(hits: np.ndarray, taken: np.ndarray, size: int) -> float:
    return float((np.diff(hits, prepend=0) * (hits / taken)).sum() / size)


def _best_dice(hits: np.ndarray, taken: np.ndarray, size: int) -> float:
    return float((2 * hits / (taken + size)).max())


def best_iou(heat: ArrayLike, mask: ArrayLike) -> float:
    """The highest intersection over union that any threshold reaches: D / (2 - D) of the best Dice.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.
    """
    dice = best_dice(heat, mask)
    return dice / (2 - dice)


def fixed_dice(heat: ArrayLike, mask: ArrayLike, *, threshold: float = 0.5) -> float:
    """Dice of the voxels above 0 and at least `threshold` times the map's maximum.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> fixed_dice([[0.9, 0.8, 0.1]], [[1, 0, 0]])
        0.6666666666666666
    """
    values, truth = _checked(heat, mask)
    found = (values > 0) & (values >= threshold * values.max())
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def energy_inside(heat: ArrayLike, mask: ArrayLike) -> float:
    """Share of the map's positive values that lies inside the mask (Wang et al., Score-CAM, CVPRW 2020); 0 without any.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> energy_inside([[3.0, 1.0, -5.0]], [[1, 0, 0]])
        0.75
    """
    values, truth = _checked(heat, mask)
    positive = np.clip(values, 0, None)
    total = positive.sum()
    return float(positive[truth].sum() / total) if total > 0 else 0.0


def peak_distance(heat: ArrayLike, mask: ArrayLike, *, spacing: Sequence[float] | None = None) -> float:
    """Distance from the map's highest voxel to the nearest voxel of the mask, mm (voxels without `spacing`); 0 inside.

    Where several voxels share the maximum, the first counts; a constant map has no peak: NaN.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> peak_distance([[0.1, 0.2, 0.9]], [[1, 0, 0]], spacing=(1, 3))
        6.0
    """
    values, truth = _checked(heat, mask)
    if values.min() == values.max():
        return float("nan")
    top = np.array(np.unravel_index(values.argmax(), values.shape))
    away = (np.argwhere(truth) - top) * np.asarray(spacing if spacing is not None else 1.0)
    return float(np.sqrt((away**2).sum(1).min()))


def pointing_game(heat: ArrayLike, mask: ArrayLike, *, spacing: Sequence[float] | None = None, tolerance_mm: float = 0.0) -> bool:
    """Whether the map's highest voxel lies in the mask, or within `tolerance_mm` of it (Zhang et al., ECCV 2016).

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> pointing_game([[0.9, 0.1]], [[1, 0]])
        True
    """
    return bool(peak_distance(heat, mask, spacing=spacing) <= tolerance_mm)


def localization_scores(
    heat: ArrayLike, mask: ArrayLike, *, spacing: Sequence[float] | None = None, tolerance_mm: float = 0.0, threshold: float = 0.5
) -> dict[str, float]:
    """All measures of one map, in the order tables show them.

    Raises:
        ValueError: shapes differ, the mask is empty or the map is not finite.

    Example:
        >>> localization_scores([[0.9, 0.1]], [[1, 0]])["pixel_ap"]
        1.0
    """
    values, truth = _checked(heat, mask)
    hits, taken = _ranked(values, truth)
    distance, dice = peak_distance(heat, mask, spacing=spacing), _best_dice(hits, taken, int(truth.sum()))
    return {
        "pixel_ap": _average_precision(hits, taken, int(truth.sum())),
        "best_dice": dice,
        "best_iou": dice / (2 - dice),
        "fixed_dice": fixed_dice(heat, mask, threshold=threshold),
        "pointing": float(distance <= tolerance_mm),
        "peak_distance_mm": distance,
        "energy": energy_inside(heat, mask),
    }

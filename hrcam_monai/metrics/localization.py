"""How well a map shows where a lesion is, given its mask. One map [*spatial], one mask of the same shape, 2-D or 3-D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import average_precision_score


def _flat(heat: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, truth = np.asarray(heat, dtype=np.float64), np.asarray(mask) > 0
    if values.shape != truth.shape:
        raise ValueError(f"map is {values.shape}, mask is {truth.shape}; they must be on one grid.")
    if not truth.any():
        raise ValueError("the mask is empty: localisation is not defined without a lesion.")
    return values.ravel(), truth.ravel()


def pixel_average_precision(heat: ArrayLike, mask: ArrayLike) -> float:
    """Area under precision over recall of the map's values as scores of the mask's voxels; chance is the mask's share.

    Raises:
        ValueError: shapes differ or the mask is empty.

    Example:
        >>> pixel_average_precision([[0.9, 0.1]], [[1, 0]])
        1.0
    """
    values, truth = _flat(heat, mask)
    return float(average_precision_score(truth, values))


def best_dice(heat: ArrayLike, mask: ArrayLike) -> float:
    """The highest Dice that any threshold on the map reaches.

    Raises:
        ValueError: shapes differ or the mask is empty.

    Example:
        >>> best_dice([[0.9, 0.8, 0.1]], [[1, 0, 0]])
        1.0
    """
    values, truth = _flat(heat, mask)
    order = np.argsort(-values, kind="stable")
    hits, taken = np.cumsum(truth[order]), np.arange(1, truth.size + 1)
    ends = np.append(values[order][1:] != values[order][:-1], True)  # equal values are taken together
    return float((2 * hits / (taken + truth.sum()))[ends].max())


def pointing_game(heat: ArrayLike, mask: ArrayLike, spacing: Sequence[float] | None = None, tolerance_mm: float = 0.0) -> bool:
    """Whether the map's highest voxel lies in the mask, or within `tolerance_mm` of it (Zhang et al., ECCV 2016).

    Raises:
        ValueError: shapes differ or the mask is empty.

    Example:
        >>> pointing_game([[0.9, 0.1]], [[1, 0]])
        True
    """
    values, truth = _flat(heat, mask)
    top = int(values.argmax())
    if truth[top]:
        return True
    if tolerance_mm <= 0:
        return False
    away = distance_transform_edt(~(np.asarray(mask) > 0), sampling=spacing)
    return bool(away.ravel()[top] <= tolerance_mm)

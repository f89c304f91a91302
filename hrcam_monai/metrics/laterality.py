"""Which side a map lies on: left against right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["laterality_index", "same_side"]


def laterality_index(left: ArrayLike, right: ArrayLike) -> float:
    """(L - R) / (L + R) of the means of positive values: 1 all left, -1 all right, NaN where neither side has any.

    Means, not sums, so that the larger side does not win by its size. Values below zero speak against the class and count
    as zero, so that the index stays between -1 and 1.

    Args:
        left: values of the map [N] in the left region.
        right: values [M] in the right one.

    Source: the index is the usual one of functional imaging, see Seghier, Magn Reson Imaging 2008, doi 10.1016/j.mri.2007.10.010.

    Example:
        >>> laterality_index([3.0, -1.0], [0.5])
        0.5
    """
    means = [float(np.clip(v, 0, None).mean()) if np.size(v) else 0.0 for v in map(np.asarray, (left, right))]
    total = sum(means)
    return (means[0] - means[1]) / total if total > 0 else float("nan")


def same_side(found: float, true: float) -> float:
    """Whether two laterality indices name the same side: 1 or 0; NaN where the true one names none.

    Example:
        >>> same_side(0.2, 0.9), same_side(float("nan"), 0.9), same_side(0.2, 0.0)
        (1.0, 0.0, nan)
    """
    if not np.isfinite(true) or true == 0:
        return float("nan")
    return float(np.sign(found) == np.sign(true))

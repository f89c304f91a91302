"""The parts that a mask is in."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import generate_binary_structure, label

__all__ = ["largest_part"]


def largest_part(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """The largest part of a mask, and the size of the next as a share of it; an empty mask is its own largest part.

    Args:
        mask: bool [X, Y, Z]; voxels that touch at a corner are of one part.

    Example:
        >>> mask = np.zeros((5, 1, 1), bool)
        >>> mask[[0, 1, 4]] = True
        >>> largest_part(mask)[1]
        0.5
    """
    parts, count = label(mask, generate_binary_structure(3, 3))
    if not count:
        return mask, 0.0
    sizes = np.bincount(parts.ravel())[1:]
    first, *others = np.argsort(-sizes)
    return parts == first + 1, float(sizes[others[0]] / sizes[first]) if others else 0.0

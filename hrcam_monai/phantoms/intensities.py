"""Intensities that phantoms are drawn with: soft edges, and one histogram for another."""

from __future__ import annotations

import numpy as np

__all__ = ["matched", "step"]


def step(x: np.ndarray, width: float) -> np.ndarray:
    """0 below 0, 1 above, soft over `width`.

    Example:
        >>> step(np.array([-9.0, 0.0, 9.0]), 1.0).round(2)
        array([0. , 0.5, 1. ])
    """
    return 1.0 / (1.0 + np.exp(np.clip(-x / width, -50, 50)))


def matched(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The wanted values in the order of these ones, rank by rank: no histogram tells them from the wanted.

    Args:
        values: [n]; equal ones keep their order.
        wanted: [n], in any order.

    Example:
        >>> matched(np.array([3, 1, 2]), np.array([10, 20, 30]))
        array([30, 10, 20])
    """
    ranked = np.empty_like(wanted)
    ranked[np.argsort(values, kind="stable")] = np.sort(wanted)
    return ranked

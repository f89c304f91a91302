"""Lesion-wise detection: a map's peaks as detections, sensitivity against false positives a subject (FROC)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from monai.metrics import compute_fp_tp_probs_nd, compute_froc_curve_data
from monai.metrics.metric import Metric
from scipy.ndimage import label, maximum_filter
from torch import Tensor

__all__ = ["FROC", "MAX_PEAKS", "LesionDetection", "peaks"]

MAX_PEAKS = 20  # a subject: more are not read by anyone


class FROC(NamedTuple):
    """Attributes: false positives a subject, sensitivity at each, mean sensitivity at the operating points, lesions."""

    false_positives: np.ndarray
    sensitivity: np.ndarray
    score: float
    lesions: int


def peaks(heat: Tensor, spacing: Sequence[float], separation_mm: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """The highest positive voxels of a map [*spatial], no two within half of `separation_mm` along every axis.

    Returns:
        values [N] in falling order, indices [N, spatial_dims]; at most 20.

    Example:
        >>> peaks(torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), (1, 1), separation_mm=1)[0]
        array([2., 1.])
    """
    box = [max(1, 2 * int(separation_mm / s / 2) + 1) for s in spacing[: heat.ndim]]
    values = heat.detach().cpu().double().clamp_min(0).numpy()
    # MONAI's ProbNMS finds the same, but searches the whole volume anew for each peak: a minute for a noisy map
    places = np.argwhere((values == maximum_filter(values, size=box)) & (values > 0))
    places = places[np.argsort(-values[tuple(places.T)], kind="stable")]
    kept: list[np.ndarray] = []
    for place in places:
        if len(kept) == MAX_PEAKS:
            break
        if not any((np.abs(place - other) <= np.array(box) // 2).all() for other in kept):  # the rest of a plateau
            kept.append(place)
    found = np.array(kept, dtype=int).reshape(len(kept), heat.ndim)
    return values[tuple(found.T)], found


class LesionDetection(Metric):
    """FROC of maps' peaks over a cohort: a peak inside a lesion's mask finds it, one outside is a false positive.

    Args:
        spacing: of the grid, mm.
        separation_mm: of two peaks.
        points: false positives a subject at which the sensitivity is averaged.

    Example:
        >>> metric = LesionDetection(spacing=(1, 1))
        >>> mask = torch.zeros(1, 1, 16, 16)
        >>> mask[..., 4:6, 4:6] = 1
        >>> metric(mask * 3.0, mask)
        >>> metric.aggregate().score
        1.0
    """

    def __init__(
        self,
        *,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        separation_mm: float = 10.0,
        points: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    ) -> None:
        self.spacing = spacing
        self.separation_mm = separation_mm
        self.points = points
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.wrong: list[np.ndarray] = []
        self.hit: list[np.ndarray] = []

    def __call__(self, y_pred: Tensor, y: Tensor) -> None:
        """Maps [B, 1, *spatial] and masks [B, 1, *spatial]; an empty mask is a healthy subject."""
        for heat, mask in zip(y_pred[:, 0], y[:, 0], strict=True):
            values, places = peaks(heat, self.spacing, self.separation_mm)
            lesions, count = label(np.asarray(mask.cpu()) > 0)
            wrong, hit = values, np.zeros(count)
            if len(values) and count:
                wrong, hit, _ = compute_fp_tp_probs_nd(values, places, lesions)  # type: ignore[assignment]
            self.wrong.append(np.asarray(wrong, dtype=float))
            self.hit.append(np.asarray(hit, dtype=float))

    def aggregate(self) -> FROC:
        """The curve over all subjects seen.

        Raises:
            ValueError: no lesion was seen.
        """
        wrong, hit = (np.concatenate(rows) if rows else np.zeros(0) for rows in (self.wrong, self.hit))
        if not len(hit):
            raise ValueError("no lesion among the masks: detection is not defined.")
        # MONAI leaves out the lowest score, taking it for "never found"; a 0 more keeps every detection
        rates, sensitivity = compute_froc_curve_data(np.append(wrong, 0.0), hit, len(hit), len(self.hit))
        order = np.argsort(rates, kind="stable")
        score = np.interp(self.points, rates[order], np.maximum.accumulate(sensitivity[order]))
        return FROC(rates[order], sensitivity[order], float(score.mean()), len(hit))

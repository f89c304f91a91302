"""One number a subject, streamed over a cohort, with a bootstrap interval over subjects: MONAI's metric style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from hrcam_monai.metrics.classification import bootstrap_interval
from hrcam_monai.metrics.localization import EmptyMaskError
from hrcam_monai.utils.classes import Classes

__all__ = ["SubjectMetric", "Summary", "finding_groups", "mean_scores", "summarize", "told_from"]


class Summary(NamedTuple):
    """Mean over the subjects on which the measure is defined, its 95 % bootstrap interval, and how many they are."""

    mean: float
    low: float
    high: float
    subjects: int


def summarize(values: Any, *, samples: int = 1000, seed: int = 0) -> Summary:
    """Mean of one number a subject, with its interval; NaN stands for a subject on which it is not defined.

    Example:
        >>> summarize([1.0, 1.0, float("nan")])
        Summary(mean=1.0, low=1.0, high=1.0, subjects=2)
    """
    array = np.asarray(values, dtype=float).ravel()
    array = array[np.isfinite(array)]
    if not len(array):
        return Summary(float("nan"), float("nan"), float("nan"), 0)
    return Summary(float(array.mean()), *bootstrap_interval(np.mean, array, samples=samples, seed=seed), len(array))


def _subject_means(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """One number a subject: the mean of a column over its scans, of those that have one; NaN where none has.

    Rows are of this run, or read from a file.

    Example:
        >>> rows = [{"subject": "a", "energy": 1}, {"subject": "a", "energy": 0}, {"subject": "b", "energy": ""}]
        >>> _subject_means(rows, "energy")
        array([0.5, nan])
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        own = found.setdefault(str(row["subject"]), [])
        own += [float(row[key])] if row.get(key, "") not in ("", None) else []
    return np.array([np.nanmean(v) if np.isfinite(v).any() else np.nan for v in found.values()])


def mean_scores(rows: Sequence[Mapping[str, Any]], keys: Iterable[str], samples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Mean of each measure over subjects and its 95 % interval, of the measures that any subject has.

    Example:
        >>> mean_scores([{"subject": "a", "energy": 0.5}], ["energy", "pointing"])
        {'energy': 0.5, 'energy_ci95': [0.5, 0.5]}
    """
    found: dict[str, Any] = {}
    for key in keys:
        summary = summarize(_subject_means(rows, key), samples=samples, seed=seed)
        if summary.subjects:
            found |= {key: summary.mean, f"{key}_ci95": [summary.low, summary.high]}
    return found


def told_from(rows: Sequence[Mapping[str, Any]], group: str, classes: Classes) -> list[Mapping[str, Any]]:
    """The rows of a group and of those it is told from: the reference class, or the other classes where there is none.

    Args:
        rows: `group` and `label` (an integer) of each subject.
        group: as the grade of conspicuity, or the site.
        classes: of the task.

    Example:
        >>> rows = [{"group": "", "label": 0}, {"group": "faint", "label": 1}, {"group": "plain", "label": 1}]
        >>> [r["group"] for r in told_from(rows, "plain", Classes(("normal", "abnormal")))]
        ['', 'plain']
    """
    own = {int(r["label"]) for r in rows if r["group"] == group}
    others = {int(r["label"]) for r in rows} - own if classes.reference is None else {classes.reference}
    return [r for r in rows if r["group"] == group or int(r["label"]) in others]


def finding_groups(rows: Sequence[Mapping[str, Any]], classes: Classes) -> list[str]:
    """Names of the groups of subjects with a finding, sorted; arguments as for `told_from`."""
    return sorted({r["group"] for r in rows if r["group"] and classes.are_marked(int(r["label"]))})


class SubjectMetric(CumulativeIterationMetric):
    """Streams a measure of (map, other) over a cohort: call it on batches, then `aggregate`, then `reset`.

    Args:
        measure: takes one map [*spatial] and what it is measured with (a mask [*spatial], an image [C, *spatial] or
            another map), as tensors, and returns a number.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: when called with maps of more than one channel, or without the second argument.

    Example:
        >>> from hrcam_monai.metrics import pixel_average_precision
        >>> metric = SubjectMetric(pixel_average_precision)
        >>> metric(torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[1, 0]]]))
        tensor([[1.]], dtype=torch.float64)
        >>> metric.aggregate().mean
        1.0
    """

    def __init__(self, measure: Callable[[Any, Any], float], *, samples: int = 1000, seed: int = 0) -> None:
        super().__init__()
        self.measure = measure
        self.samples = samples
        self.seed = seed

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        """[B, 1, *spatial] and [B, C, *spatial] -> [B, 1]; NaN where a mask is empty."""
        if y is None:
            raise ValueError("give what the map is measured with: a mask, an image or another map.")
        if y_pred.shape[1] != 1:
            raise ValueError(f"maps have {y_pred.shape[1]} channels; choose one class, [B, 1, *spatial].")
        rows = [[self._one(heat[0].detach().cpu(), other.detach().cpu())] for heat, other in zip(y_pred, y, strict=True)]
        return torch.tensor(rows, dtype=torch.float64)

    def _one(self, heat: Tensor, other: Tensor) -> float:
        other = other[0] if other.ndim > heat.ndim and other.shape[0] == 1 else other
        try:
            return float(self.measure(heat, other))
        except EmptyMaskError:  # a healthy subject: nothing to find
            return float("nan")

    def aggregate(self) -> Summary:
        """Mean over all subjects seen since `reset`, of all processes, with its interval."""
        values = self.get_buffer()  # type: ignore[no-untyped-call]
        return summarize([] if values is None else values, samples=self.samples, seed=self.seed)

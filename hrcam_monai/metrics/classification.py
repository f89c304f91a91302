"""How well subjects are classified, with bootstrap intervals over subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.metrics import confusion_matrix, roc_auc_score

__all__ = [
    "accuracy",
    "auc_or_chance",
    "balanced_accuracy",
    "bootstrap_interval",
    "brier_score",
    "calibration_error",
    "classification_summary",
    "measured",
    "roc_auc",
    "sensitivity",
    "specificity",
]

BINS = 10  # of `calibration_error`, equally wide


def roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """ROC AUC of class 1 for two classes, macro one-versus-rest for more; NaN where a class has no subject."""
    if len(np.unique(labels)) < probabilities.shape[1]:
        return float("nan")
    if probabilities.shape[1] > 2:
        return float(roc_auc_score(labels, probabilities, multi_class="ovr"))
    # by ranks (Mann and Whitney): what scikit-learn gives, in a twentieth of its time, for thousands of resamples
    positive = labels == 1
    pairs = positive.sum() * (~positive).sum()
    lowest = positive.sum() * (positive.sum() + 1) / 2
    return float((rankdata(probabilities[:, 1])[positive].sum() - lowest) / pairs)


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of subjects whose most probable class is theirs."""
    return _share(probabilities.argmax(1) == labels)


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over classes of the share of their subjects that is recognised; NaN where a class has no subject."""
    right = probabilities.argmax(1) == labels
    return float(np.mean([_share(right[labels == k]) for k in range(probabilities.shape[1])]))


def sensitivity(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of subjects of the other classes that are not taken for the reference class (index 0)."""
    return _share(probabilities.argmax(1)[labels > 0] > 0)


def specificity(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of subjects of the reference class that are recognised."""
    return _share(probabilities.argmax(1)[labels == 0] == 0)


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of the probabilities from what is true, halved: of two classes that of either's; 0 is best.

    Brier, Monthly Weather Review 1950. Always one half for each of two classes gives 0.25.

    Example:
        >>> brier_score(np.array([0, 1]), np.array([[0.5, 0.5], [0.0, 1.0]]))
        0.125
    """
    if not len(labels):
        return float("nan")
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean() / 2)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """How far the probability of the predicted class is from how often it is right, over ten bins of it; 0 is best.

    NaN without a subject, or where a probability is NaN. The expected calibration error of Guo et al. (ICML 2017). Of few
    subjects it is large by chance: read it with its interval.

    Example:
        >>> calibration_error(np.array([0, 0, 1]), np.array([[0.9, 0.1]] * 3)).__round__(3)
        0.233
    """
    if not len(labels) or np.isnan(probabilities).any():
        return float("nan")
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, confidence - right, BINS)).sum() / len(labels))


def auc_or_chance(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """ROC AUC for choosing a checkpoint: 0.5 where it is not defined, so that a small validation set does not stop."""
    value = roc_auc(labels.cpu().numpy(), logits.float().softmax(1).cpu().numpy())
    return value if np.isfinite(value) else 0.5


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: np.ndarray,
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    subjects: np.ndarray | None = None,
) -> tuple[float, float]:
    """Percentile interval of a statistic over resampled subjects; draws on which it is not defined are left out.

    NaN for both ends where it is not defined on all of them. With `subjects`, the name of each row's, all rows of a subject
    are drawn together.

    Example:
        >>> bootstrap_interval(np.mean, np.ones(10))
        (1.0, 1.0)
    """
    if not np.isfinite(statistic(*arrays)):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    if subjects is not None and len(names := np.unique(subjects)) < len(subjects):
        rows = [np.flatnonzero(subjects == name) for name in names]
        picks = rng.integers(len(names), size=(samples, len(names)))
        index = [np.concatenate([rows[i] for i in pick]) for pick in picks]
        return _ends(np.array([statistic(*(a[i] for a in arrays)) for i in index]), level)
    count = len(arrays[0])
    drawn = rng.integers(count, size=(samples, count))
    one_by_one = statistic is not np.mean  # the mean, by far the most frequent, takes all draws at once
    values = np.array([statistic(*(a[i] for a in arrays)) for i in drawn]) if one_by_one else arrays[0][drawn].mean(1)
    return _ends(values, level)


def _ends(values: np.ndarray, level: float) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


OF_CLASSES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {  # titles: `hrcam_monai.metrics.measures.CLASSIFICATION`
    "auc": roc_auc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "brier": brier_score,
    "calibration_error": calibration_error,
}


def measured(labels: np.ndarray, probabilities: np.ndarray, seed: int = 0, subjects: np.ndarray | None = None) -> dict[str, Any]:
    """Each of `OF_CLASSES`, with its 95 % bootstrap interval over subjects.

    Args:
        labels: [N] integers.
        probabilities: [N, K].
        seed: of the bootstrap.
        subjects: [N] whose each scan is; by default each is of another. Scans of one are drawn together.

    Example:
        >>> measured(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))["accuracy_ci95"]
        [1.0, 1.0]
    """
    found: dict[str, Any] = {}
    for name, measure in OF_CLASSES.items():
        found[name] = measure(labels, probabilities)
        found[f"{name}_ci95"] = list(bootstrap_interval(measure, labels, probabilities, seed=seed, subjects=subjects))
    return found


def classification_summary(
    labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], *, seed: int = 0, subjects: ArrayLike | None = None
) -> dict[str, Any]:
    """`measured`: each measure of classification with its 95 % interval over subjects; and the confusion matrix of scans.

    Args:
        labels: [N] integers.
        probabilities: [N, K].
        classes: K names.
        seed: of the bootstrap.
        subjects: [N] whose each scan is; by default each is of another. Scans of one are drawn together.

    Example:
        >>> classification_summary([0, 1], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])["accuracy"]
        1.0
    """
    truth, scores = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=float)
    names = np.asarray(range(len(truth)) if subjects is None else subjects)
    return {
        "subjects": len(np.unique(names)),
        "scans": len(truth),
        "counts": {name: len(np.unique(names[truth == k])) for k, name in enumerate(classes)},
        **measured(truth, scores, seed, names),
        "classes": list(classes),
        "confusion_matrix": confusion_matrix(truth, scores.argmax(1), labels=range(len(classes))).tolist(),
    }

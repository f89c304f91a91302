"""How good predictions are, by how much two sets of them differ, and how often chance would be as good."""

from __future__ import annotations

from typing import Any

import numpy as np

from hrcam_monai.metrics.classification import bootstrap_interval, roc_auc

__all__ = ["PERMUTATIONS", "fold_aucs", "paired_difference", "permutation_p"]

PERMUTATIONS = 2000


def fold_aucs(labels: np.ndarray, probabilities: np.ndarray, folds: np.ndarray) -> list[float]:
    """The AUC within each fold, folds in order."""
    return [roc_auc(labels[folds == k], probabilities[folds == k]) for k in np.unique(folds)]


def permutation_p(
    labels: np.ndarray, probabilities: np.ndarray, folds: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """How often the pooled AUC is as high when labels are dealt out anew: one-sided, (1 + as high) / (1 + permutations).

    Labels are permuted within folds: the network of a fold has not seen its subjects, so that by chance any of them could
    bear any of their labels; between folds networks differ.

    Args:
        labels: [N] integers.
        probabilities: [N, K].
        folds: [N] in which each was held out.
        permutations: how many.
        seed: of the permutations.

    Returns:
        NaN where the AUC is not defined: one class only, or probabilities that are no numbers.

    Example:
        >>> scores = np.linspace(0, 1, 20)
        >>> permutation_p(np.arange(20) // 10, np.stack([1 - scores, scores], 1), np.zeros(20), 99)
        0.01
    """
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(folds == k) for k in np.unique(folds)]
    least = roc_auc(labels, probabilities) - 1e-12
    if not np.isfinite(least):
        return float("nan")  # an AUC that is not defined is not above chance
    as_high, dealt = 0, labels.copy()
    for _ in range(permutations):
        for place in places:
            dealt[place] = rng.permutation(labels[place])
        as_high += roc_auc(dealt, probabilities) >= least
    return (1 + as_high) / (1 + permutations)


def paired_difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """AUC of the first predictions less that of the second, on the same subjects, with its 95 % bootstrap interval.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> paired_difference(np.array([0, 1]), scores, scores)
        {'subjects': 2, 'difference': 0.0, 'difference_ci95': [0.0, 0.0]}
    """

    def difference(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return roc_auc(truth, a) - roc_auc(truth, b)

    interval = bootstrap_interval(difference, labels, first, second, seed=seed)
    return {"subjects": len(labels), "difference": difference(labels, first, second), "difference_ci95": list(interval)}

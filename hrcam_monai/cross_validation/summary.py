"""What comes out of all folds together: numbers from rows, nothing read and nothing run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hrcam_monai.cross_validation.statistics import PERMUTATIONS, fold_aucs, paired_difference, permutation_p
from hrcam_monai.metrics.classification import measured

__all__ = ["arrays", "by_subject", "cross_validation_summary"]

Row = Mapping[str, Any]
Table = dict[str, tuple[int, int, np.ndarray]]  # subject: label, fold, probabilities [K]


def by_subject(rows: Sequence[Row], classes: Sequence[str]) -> Table:
    """One line a subject, by name; the probabilities of several images of one are averaged.

    Args:
        rows: `subject`, `label` (a name), `fold` and `probability_<class>`.
        classes: names.

    Example:
        >>> row = {"subject": "s", "label": "b", "fold": 0}
        >>> by_subject([row | {"probability_a": 0.4, "probability_b": 0.6}], ["a", "b"])["s"][:2]
        (1, 0)
    """
    gathered: dict[str, list[Row]] = {}
    for row in rows:
        gathered.setdefault(str(row["subject"]), []).append(row)
    return {
        name: (
            list(classes).index(own[0]["label"]),
            int(own[0]["fold"]),
            np.mean([[float(r[f"probability_{c}"]) for c in classes] for r in own], axis=0),
        )
        for name, own in sorted(gathered.items())
    }


def arrays(table: Table, subjects: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [N], folds [N] and probabilities [N, K] of these subjects."""
    chosen = [table[s] for s in subjects]
    return np.array([c[0] for c in chosen]), np.array([c[1] for c in chosen]), np.array([c[2] for c in chosen])


def _predictor(table: Table, seed: int = 0, permutations: int = PERMUTATIONS) -> dict[str, Any]:
    """How good out-of-fold predictions are: `measured` on all, the AUC of each fold, and the permutation test."""
    labels, folds, scores = arrays(table, list(table))
    aucs = fold_aucs(labels, scores, folds)
    within = [a for a in aucs if np.isfinite(a)]
    return {
        "subjects": len(labels),
        **measured(labels, scores, seed),
        "folds": [int(k) for k in np.unique(folds)],
        "fold_auc": aucs,
        "mean_fold_auc": float(np.mean(within)) if within else float("nan"),
        "permutation_p": permutation_p(labels, scores, folds, permutations, seed),
        "permutations": permutations,
    }


def cross_validation_summary(
    rows: Sequence[Row], classes: Sequence[str], baselines: Mapping[str, Sequence[Row]], seed: int = 0
) -> dict[str, Any]:
    """Numbers of the network and of each baseline, and by how much the network's AUC is above a baseline's.

    Args:
        rows: the network's out-of-fold predictions, an image each, see `by_subject`.
        classes: names; index 0 is the reference.
        baselines: the same of each baseline.
        seed: of bootstrap and permutations.
    """
    table = by_subject(rows, classes)
    found: dict[str, Any] = {"classes": list(classes), "network": _predictor(table, seed), "baselines": {}}
    for name, own in baselines.items():
        other = by_subject(own, classes)
        both = [s for s in table if s in other]
        labels, _, scores = arrays(table, both)
        paired = paired_difference(labels, scores, arrays(other, both)[2], seed)
        found["baselines"][name] = _predictor(other, seed) | {"network_less_baseline": paired}
    return found

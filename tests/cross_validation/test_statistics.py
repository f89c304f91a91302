from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from hrcam_monai.cross_validation.statistics import fold_aucs, paired_difference, permutation_p
from hrcam_monai.metrics.classification import accuracy, balanced_accuracy, measured, roc_auc, sensitivity, specificity


def pairs(scores):
    return np.stack([1 - scores, scores], 1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_measures(rng):
    labels = np.array([0, 0, 0, 1, 1])
    scores = pairs(np.array([0.1, 0.2, 0.7, 0.8, 0.3]))
    assert accuracy(labels, scores) == pytest.approx(3 / 5)
    assert sensitivity(labels, scores) == pytest.approx(1 / 2)
    assert specificity(labels, scores) == pytest.approx(2 / 3)
    assert balanced_accuracy(labels, scores) == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    found = measured(labels, scores)
    assert found["auc"] == roc_auc(labels, scores)
    assert found["auc_ci95"][0] <= found["auc"] <= found["auc_ci95"][1]


def test_auc_of_each_fold():
    labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert fold_aucs(labels, pairs(np.array([0.1, 0.9, 0.9, 0.1])), folds) == [1.0, 0.0]


def test_a_perfect_score_is_no_chance():
    labels = np.arange(40) % 2
    assert permutation_p(labels, pairs(labels * 0.8 + 0.1), np.arange(40) // 8, 499) == 1 / 500


def test_an_auc_that_is_not_defined_has_no_p_and_no_interval():
    scores = np.stack([np.linspace(1, 0, 8), np.linspace(0, 1, 8)], 1)
    one_class, folds = np.zeros(8, int), np.zeros(8)
    assert np.isnan(permutation_p(one_class, scores, folds, 19))
    assert np.isnan(measured(one_class, scores)["auc_ci95"]).all()
    broken = scores.copy()
    broken[0] = np.nan
    assert np.isnan(permutation_p(np.arange(8) // 4, broken, folds, 19))
    assert np.isnan(measured(np.arange(8) // 4, broken)["auc_ci95"]).all()


def test_p_of_random_scores_is_uniform(rng):
    folds = np.arange(20) // 10
    found = [permutation_p(np.arange(20) % 2, pairs(rng.random(20)), folds, 39, seed=i) for i in range(100)]
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(found) <= 0.1) < 0.25
    assert np.mean(np.array(found) > 0.9) > 0.02


def test_p_is_not_fooled_by_folds_of_different_levels():
    """Scores that tell folds apart, not classes within them, are chance; the share of classes differs by fold."""
    folds = np.repeat([0, 1], 20)
    labels = np.concatenate([np.arange(20) < 5, np.arange(20) < 15]).astype(int)
    assert roc_auc(labels, pairs(folds * 0.5 + 0.2)) > 0.7
    assert permutation_p(labels, pairs(folds * 0.5 + 0.2), folds, 99) == 1.0


def test_paired_difference(rng):
    labels = np.arange(60) % 2
    good, noise = pairs(labels * 0.5 + rng.random(60) * 0.5), pairs(rng.random(60))
    found = paired_difference(labels, good, noise)
    assert found["difference"] == pytest.approx(roc_auc(labels, good) - roc_auc(labels, noise))
    assert found["difference_ci95"][0] > 0
    turned = paired_difference(labels, noise, good)
    assert turned["difference_ci95"] == pytest.approx([-v for v in reversed(found["difference_ci95"])])

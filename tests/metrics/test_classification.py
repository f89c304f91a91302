from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score

from hrcam_monai.metrics import auc_or_chance, bootstrap_interval, classification_summary, roc_auc
from hrcam_monai.metrics.classification import brier_score, calibration_error


def test_summary_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    probability = np.array([0.1, 0.4, 0.6, 0.7, 0.3])
    summary = classification_summary(labels, np.stack([1 - probability, probability], 1), ["a", "b"])
    assert summary["confusion_matrix"] == [[2, 1], [1, 1]]
    assert summary["accuracy"] == pytest.approx(3 / 5)
    assert summary["sensitivity"] == pytest.approx(1 / 2)
    assert summary["specificity"] == pytest.approx(2 / 3)
    assert summary["auc"] == pytest.approx(4 / 6)
    low, high = summary["auc_ci95"]
    assert low <= summary["auc"] <= high


def test_auc_is_scikit_learns_with_ties_too():
    rng = np.random.default_rng(0)
    for count in (4, 9, 50):
        labels, scores = np.arange(count) % 2, rng.integers(0, 6, count) / 6
        assert roc_auc(labels, np.stack([1 - scores, scores], 1)) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_three_classes():
    scores = np.eye(3)[[0, 1, 2, 2]] * 0.8 + 0.2 / 3
    assert classification_summary([0, 1, 2, 2], scores, "abc")["auc"] == 1


def test_one_class_has_no_auc():
    assert np.isnan(roc_auc(np.zeros(3, int), np.ones((3, 2)) / 2))
    assert auc_or_chance(torch.zeros(3, 2), torch.zeros(3)) == 0.5
    assert auc_or_chance(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])) == 1


def test_interval_shrinks_with_subjects_and_repeats_with_the_seed():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=20), rng.normal(size=2000)
    width = [np.diff(bootstrap_interval(np.mean, x))[0] for x in (few, many)]
    assert width[0] > 5 * width[1]
    assert bootstrap_interval(np.mean, few, seed=1) == bootstrap_interval(np.mean, few, seed=1)


def test_all_rows_of_a_subject_are_drawn_together():
    values = np.repeat(np.random.default_rng(0).normal(size=12), 25)
    names = np.repeat(np.arange(12), 25)
    alone, together = (bootstrap_interval(np.mean, values, subjects=s) for s in (None, names))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])
    assert bootstrap_interval(np.mean, values[::25]) == bootstrap_interval(np.mean, values[::25], subjects=names[::25])


def test_brier_score_is_scikit_learns():
    rng = np.random.default_rng(0)
    for classes in (2, 3):
        labels, scores = rng.integers(classes, size=40), rng.dirichlet(np.ones(classes), size=40)
        assert brier_score(labels, scores) == pytest.approx(
            brier_score_loss(labels, scores, labels=range(classes), scale_by_half=True)
        )


def test_calibration_error_is_zero_where_probabilities_are_kept_and_grows_with_what_they_promise():
    labels = np.array([1] * 8 + [0] * 2)
    for promised, error in ((0.8, 0.0), (0.999, 0.199), (1.0, 0.2), (0.6, 0.2)):
        assert calibration_error(labels, np.array([[1 - promised, promised]] * 10)) == pytest.approx(error)
    assert np.isnan(calibration_error(np.array([], int), np.zeros((0, 2))))
    assert np.isnan(brier_score(np.array([], int), np.zeros((0, 2))))


def test_a_probability_that_is_not_defined_makes_the_error_so():
    labels, probabilities = np.array([0, 1]), np.array([[np.nan, np.nan], [0.0, 1.0]])
    assert np.isnan(calibration_error(labels, probabilities))
    assert np.isnan(brier_score(labels, probabilities))

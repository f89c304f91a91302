from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hrcam_monai.phantoms.anatomy import load_anatomy
from hrcam_monai.phantoms.neuromelanin import CRUS, LEFT, NONE, RIGHT, TASK, simulate_slab
from tests.data.shortcuts import histogram_features, shortcut_auc

template = cache(load_anatomy)


def slab(grade, seed=0, spacing=1.5):
    return simulate_slab(template(), np.random.default_rng([3, seed]), grade, spacing)


def contrast(subject, label):
    """Mean contrast ratio of one region to the crus cerebri."""
    crus = np.median(subject.image[subject.regions == CRUS])
    return float(subject.image[subject.regions == label].mean() / crus - 1)


def test_a_control_has_two_bright_nigrae_and_no_mask():
    subject = slab(NONE, spacing=0.75)
    assert subject.image.shape == (96, 96, 12)
    np.testing.assert_allclose(np.diag(subject.affine), [0.75, 0.75, 2.2, 1])
    assert not subject.mask.any()
    for label in (LEFT, RIGHT):
        assert contrast(subject, label) > 0.1
    x = [
        (np.argwhere(subject.regions == label).mean(0) @ subject.affine[:3, :3].T + subject.affine[:3, 3])[0]
        for label in (LEFT, RIGHT)
    ]
    assert x[0] < 0 < x[1]


def test_parkinson_loses_signal_behind_and_more_on_one_side():
    worse = []
    for seed in range(6):
        subject = slab("severe", seed, 0.75)
        left, right = subject.lesions
        assert abs(left.lost - right.lost) > 0.1
        worse.append(left.lost > right.lost)
        nigra = np.argwhere(subject.regions == (LEFT if worse[-1] else RIGHT))
        lost = np.argwhere((subject.mask > 0) & (subject.regions == (LEFT if worse[-1] else RIGHT)))
        assert len(lost) > 20
        assert lost[:, 1].mean() < nigra[:, 1].mean()  # behind
        assert contrast(subject, LEFT if worse[-1] else RIGHT) < contrast(subject, RIGHT if worse[-1] else LEFT)
    assert len(set(worse)) == 2  # chance chooses the side


def test_slices_are_chosen_alike_in_both_classes():
    assert (slab(NONE).shown == (slab(NONE).regions > 1)).all()
    assert slab("mild").shown.any()


def test_signal_rises_with_age():
    subjects = [slab(NONE, i, 3.0) for i in range(40)]
    ages = [s.entry["age"] for s in subjects]
    assert np.corrcoef(ages, [s.lesions[0].contrast for s in subjects])[0, 1] > 0.2


@pytest.mark.slow
def test_no_shortcut_by_the_whole_slab():
    """The whole slab's histogram tells nothing; the nigra's mean contrast, the usual measure, tells much but not all."""
    features, means, labels = [], [], []
    for i in range(160):
        label, grade = TASK.turn(i)
        subject = slab(grade, i)
        features.append(histogram_features(subject.image, scaled=True))
        means.append(-np.mean([contrast(subject, side) for side in (LEFT, RIGHT)]))
        labels.append(label)
    assert shortcut_auc(features, labels) <= 0.65
    assert 0.7 <= roc_auc_score(labels, means) <= 0.95

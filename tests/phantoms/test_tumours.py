from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hrcam_monai.phantoms.anatomy import load_anatomy
from hrcam_monai.phantoms.tumours import FOURTH, GLIOBLASTOMA, LATERAL, RADIUS, TASK, simulate_tumour
from tests.data.shortcuts import histogram_features, shortcut_auc

template = cache(load_anatomy)


def drawn(site, seed=0, spacing=3.0):
    return simulate_tumour(template(), np.random.default_rng([7, seed]), site, spacing)


@pytest.mark.parametrize("site", [GLIOBLASTOMA, FOURTH, LATERAL])
def test_a_tumour_is_in_the_brain_and_has_the_volume_asked_for(site):
    subject = drawn(site)
    (tumour,) = subject.lesions
    assert not subject.mask[subject.image == 0].any()
    assert RADIUS[0] <= tumour.radius_mm <= RADIUS[1]
    assert tumour.volume_mm3 == pytest.approx(4 / 3 * np.pi * tumour.radius_mm**3, rel=0.05)
    assert tumour.kind == ("glioblastoma" if site == GLIOBLASTOMA else "ependymoma")


def test_a_glioblastoma_has_a_bright_rim_and_a_dark_core():
    subject = drawn(GLIOBLASTOMA, spacing=2.0)
    inside = np.argwhere(subject.mask)
    centre = inside.mean(0).round().astype(int)
    reach = np.linalg.norm(inside - centre, axis=1)
    values = subject.image[tuple(inside.T)].astype(float)
    core, rim = values[reach < 0.3 * reach.max()].mean(), np.percentile(values, 75)
    healthy = np.median(subject.image[subject.image > 0])
    assert core < 0.8 * healthy < healthy < rim / 1.15


@pytest.mark.parametrize(
    ("site", "low", "high"), [(FOURTH, (-20, -75, -55), (20, -20, -5)), (LATERAL, (-45, -70, -15), (45, 55, 50))]
)
def test_an_ependymoma_lies_at_its_ventricle(site, low, high):
    for seed in range(3):
        centre = drawn(site, seed, 4.0).lesions[0].centre_world_mm
        assert all(a <= c <= b for a, c, b in zip(low, centre, high, strict=True)), centre


def test_both_classes_take_sizes_and_brightness_from_one_distribution():
    """The same chance gives either class the same size and brightness: neither is a shortcut."""
    for seed in range(3):
        a, b = (drawn(site, seed, 5.0).lesions[0] for site in (GLIOBLASTOMA, FOURTH))
        assert (a.radius_mm, a.enhancement) == (b.radius_mm, b.enhancement)


@pytest.mark.slow
def test_no_shortcut_by_histogram():
    """A logistic regression on 32 bins, mean and standard deviation must not tell the classes apart, scaled or not."""
    turns = [TASK.turn(i) for i in range(120)]
    images = [drawn(grade, i, 4.0).image for i, (_, grade) in enumerate(turns)]
    for scaled in (False, True):
        features = [histogram_features(image, scaled) for image in images]
        assert shortcut_auc(features, [label for label, _ in turns]) <= 0.65, scaled

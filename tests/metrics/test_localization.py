from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from hrcam_monai.metrics import best_dice, pixel_average_precision, pointing_game


@pytest.mark.parametrize("shape", [(12, 9), (6, 7, 5)])
def test_perfect_and_random_maps(shape):
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < 0.2
    assert pixel_average_precision(mask * 1.0, mask) == 1
    assert best_dice(mask * 1.0, mask) == 1
    noise = rng.random(shape)
    assert pixel_average_precision(noise, mask) == pytest.approx(average_precision_score(mask.ravel(), noise.ravel()))
    by_hand = max(2 * (mask & (noise >= t)).sum() / (mask.sum() + (noise >= t).sum()) for t in noise.ravel())
    assert best_dice(noise, mask) == pytest.approx(by_hand)


def test_equal_values_are_taken_together():
    assert best_dice(np.ones(4), np.array([1, 0, 0, 0])) == pytest.approx(2 / 5)


def test_pointing_game_with_tolerance_in_mm():
    heat, mask = np.zeros((5, 9)), np.zeros((5, 9))
    heat[2, 6], mask[2, 3] = 1, 1
    assert not pointing_game(heat, mask)
    assert not pointing_game(heat, mask, spacing=(1, 2), tolerance_mm=5.9)
    assert pointing_game(heat, mask, spacing=(1, 2), tolerance_mm=6.0)
    assert pointing_game(mask, mask)


@pytest.mark.parametrize("metric", [pixel_average_precision, best_dice, pointing_game])
def test_bad_input(metric):
    with pytest.raises(ValueError, match=r"map is \(2, 2\), mask is \(2, 3\); they must be on one grid"):
        metric(np.zeros((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="the mask is empty"):
        metric(np.zeros((2, 2)), np.zeros((2, 2)))

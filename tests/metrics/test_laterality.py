import numpy as np
import pytest

from hrcam_monai.metrics import laterality_index, same_side


def test_mirrored_sides_give_the_opposite_index():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=40), rng.normal(size=30)
    assert laterality_index(left, right) == -laterality_index(right, left)
    assert -1 <= laterality_index(left, right) <= 1


def test_the_size_of_a_side_and_the_unit_of_the_map_do_not_count():
    left, right = np.array([1.0, 3.0]), np.array([1.0, 1.0])
    assert laterality_index(left, right) == pytest.approx(1 / 3)
    assert laterality_index(np.tile(left, 5), right) == pytest.approx(1 / 3)
    assert laterality_index(7 * left, 7 * right) == pytest.approx(1 / 3)


@pytest.mark.parametrize("left", [[], [-1.0], [0.0]])
def test_nothing_above_zero_has_no_side(left):
    assert np.isnan(laterality_index(left, []))
    assert laterality_index(left, [2.0]) == -1


def test_a_map_without_a_side_misses_one_that_there_is():
    assert same_side(float("nan"), -0.4) == 0
    assert same_side(0.0, -0.4) == 0
    assert same_side(-0.01, -0.4) == 1
    assert np.isnan(same_side(0.5, float("nan")))

from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.data.itk_images import from_array, to_array
from hrcam_monai.prepare.bias_field import correct_bias, fitting, shrink_factors


def test_thin_and_short_axes_are_not_shrunk():
    assert shrink_factors((256, 256, 20), (0.86, 0.86, 7.0)) == [4, 4, 1]
    assert shrink_factors((180, 220, 180), (1, 1, 1)) == [4, 4, 4]
    assert shrink_factors((32, 256, 15), (1, 1, 1)) == [2, 4, 1]
    assert shrink_factors((200, 200, 100), (1, 1, 2)) == [4, 4, 2]


def test_no_side_gets_knots_closer_than_asked_for():
    for extent in ((200, 240, 200), (240, 240, 155), (180, 240, 26.4), (72, 72, 26.4), (15, 15, 15)):
        levels, padded = fitting(extent, 4, 20.0)
        assert 1 <= levels <= 4
        assert min(padded) / 2 ** (levels - 1) >= 20
        assert all(p >= e for p, e in zip(padded, extent, strict=True))
    assert fitting((200, 240, 200), 4, 20.0) == (4, [200, 240, 200])
    assert fitting((200, 240, 200), 2, 20.0)[0] == 2


@pytest.mark.parametrize("size", [96, 240])  # a slab of phantoms, and one over the whole head
def test_the_contrast_of_a_small_bright_part_of_a_thin_slab_is_kept(size):
    half = 0.75 * (size - 1) / 2
    axes = np.linspace(-half, half, size), np.linspace(-half, half, size), 2.2 * np.arange(12) - 12.1
    x, y, z = np.meshgrid(*axes, indexing="ij")
    bright = (((abs(x) - 12) / 4) ** 2 + (y / 8) ** 2 + (z / 8) ** 2) < 1
    tissue = (100 + 20 * bright + np.random.default_rng(0).normal(0, 3, x.shape)) * (x**2 + y**2 < (0.95 * half) ** 2)
    affine = np.diag([0.75, 0.75, 2.2, 1.0])
    image = from_array((tissue * np.exp(0.1 * x / half)).astype(np.float32), affine)
    found, where = to_array(correct_bias(image, from_array((tissue > 50).astype(np.uint8), affine)))
    around = (((abs(x) - 12) / 6) ** 2 + (y / 10) ** 2 + (z / 10) ** 2 < 1) & ~bright
    assert found[bright].mean() / found[around].mean() - 1 == pytest.approx(0.2, abs=0.015)
    np.testing.assert_allclose(where, affine)


def phantom():
    """Two tissues in a ball of 32^3, and a field that changes by a factor of two across it."""
    x, y, z = np.meshgrid(*[np.linspace(-1.2, 1.2, 32)] * 3, indexing="ij")
    inside = x**2 + y**2 + z**2 < 1
    tissue = np.where(np.sin(6 * x) * np.sin(6 * y) * np.sin(6 * z) > 0, 100, 140) + np.random.default_rng(0).normal(
        0, 2, x.shape
    )
    return (tissue * inside).astype(np.float32), np.exp(0.35 * x + 0.2 * y).astype(np.float32), inside


def test_a_known_field_is_taken_out():
    truth, field, inside = phantom()
    image = from_array(truth * field, np.diag([2.0, 2.0, 2.0, 1.0]))
    mask = from_array(inside.astype(np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    found, affine = to_array(correct_bias(image, mask, (20, 20)))
    left = found[inside] / truth[inside]
    assert np.std(np.log(left)) < 0.3 * np.std(np.log(field[inside]))
    assert not found[~inside].any()
    np.testing.assert_allclose(affine, np.diag([2.0, 2.0, 2.0, 1.0]))


def test_negative_intensities_are_refused():
    truth, _, inside = phantom()
    with pytest.raises(
        ValueError, match="has negative intensities inside .normalised already.., which N4 cannot correct; use --no-n4"
    ):
        correct_bias(from_array(truth - 120, np.eye(4)), from_array(inside.astype(np.uint8), np.eye(4)))

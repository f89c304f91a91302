from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.data.itk_images import from_array, resample, to_array

OBLIQUE = np.array([[-0.9, 0.0, 1.3, 5], [0.2, -0.8, 0.9, -7], [0.1, 0.3, 2.0, 2], [0, 0, 0, 1]])


def oblique(spacing=(1.0, 0.8, 3.0)):
    """LPS-like, tilted, anisotropic, with right angles."""
    affine = OBLIQUE.copy()
    affine[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * spacing
    return affine


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_there_and_back_is_the_same(dtype):
    array = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(dtype)
    back, affine = to_array(from_array(array, oblique()))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == dtype
    np.testing.assert_allclose(affine, oblique(), atol=1e-6)


def test_a_sheared_grid_is_refused():
    with pytest.raises(ValueError, match="has axes that are not at right angles; resample it to a grid with right angles first"):
        from_array(np.zeros((4, 5, 6), np.float32), OBLIQUE)


def test_a_point_keeps_its_place_on_another_grid():
    array = np.zeros((8, 9, 7), np.uint8)
    array[4, 5, 3] = 3
    fine = oblique((0.5, 0.4, 1.5))
    moved, _ = to_array(resample(from_array(array, oblique()), from_array(np.zeros((20, 20, 20), np.uint8), fine), nearest=True))
    assert set(np.unique(moved)) == {0, 3}
    centre = np.argwhere(moved == 3).mean(0)
    np.testing.assert_allclose((fine @ [*centre, 1])[:3], (oblique() @ [4, 5, 3, 1])[:3], atol=0.9)

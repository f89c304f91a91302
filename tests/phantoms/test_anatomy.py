from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.phantoms.anatomy import load_anatomy, output_grid, smooth_field, warp
from tests.conftest import save_head


def test_default_is_icbm152_with_white_matter_near_one():
    anatomy = load_anatomy()
    assert anatomy.image.shape == (197, 233, 189)
    assert 0.9 < np.percentile(anatomy.image[anatomy.image > 0], 90) < 1.1


def test_grid_keeps_orientation_and_covers_the_brain(tmp_path):
    tilt = np.array([[-0.9, 0.2, 0, 5], [0.2, 0.9, 0, -7], [0, 0, 3, 2], [0, 0, 0, 1.0]])
    save_head(tmp_path / "a.nii", affine=tilt)
    anatomy = load_anatomy(tmp_path / "a.nii")
    shape, affine = output_grid(anatomy, 2.0)
    assert nib.aff2axcodes(affine) == nib.aff2axcodes(tilt)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), 2.0)
    brain = np.argwhere(anatomy.image > 0) @ tilt[:3, :3].T + tilt[:3, 3]
    index = (brain - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    assert (index > 0).all()
    assert (index < np.array(shape)).all()


def test_warp_is_a_new_head_each_time_and_the_same_for_a_seed(tmp_path):
    save_head(tmp_path / "a.nii", shape=(40, 48, 32))
    anatomy = load_anatomy(tmp_path / "a.nii")
    first, again, other = (warp(anatomy, np.random.default_rng(s), 2.0)[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.7 < (first > 0).mean() / (other > 0).mean() < 1.4


def test_smooth_field_has_the_asked_shape_and_size():
    field = smooth_field(np.random.default_rng(0), (30, 20, 10), 6, 2.0)
    assert field.shape == (30, 20, 10)
    assert 0.5 < field.std() < 3
    assert np.abs(np.diff(field, axis=0)).max() < 1.5


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((4, 4, 4), np.float32), "no voxel is above zero"), (np.ones((4, 4, 4, 2), np.float32), "expected a 3-D volume")],
)
def test_bad_anatomy(tmp_path, array, message):
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ValueError, match=message):
        load_anatomy(tmp_path / "a.nii")

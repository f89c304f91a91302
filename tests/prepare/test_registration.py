from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hrcam_monai.data.itk_images import from_array, itk_types, one_thread, resample, to_array
from hrcam_monai.prepare.registration import MIN_SIMILARITY, matrix, register, similarity, template, template_grid, transform_of


def moved_template(spacing=4.0):
    """ICBM152 turned, shifted and scaled, on an oblique grid; and the matrix from template to it (RAS+)."""
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_euler("xyz", [12, -6, 8], degrees=True).as_matrix() * 0.92
    truth[:3, 3] = [14, -9, 20]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", 5, degrees=True).as_matrix() @ np.diag([-spacing, -spacing, spacing])
    affine[:3, 3] = [110, 90, -80]
    grid = from_array(np.zeros([round(220 / spacing)] * 3, np.uint8), affine)
    return resample(template().image, grid, transform_of(np.linalg.inv(truth))), truth


def test_a_matrix_and_its_transform():
    _, truth = moved_template()
    np.testing.assert_allclose(matrix(transform_of(truth)), truth, atol=1e-12)


def test_the_grid_is_the_templates():
    _, affine = to_array(template_grid(3.0))
    np.testing.assert_allclose(affine, [[3, 0, 0, -98], [0, 3, 0, -134], [0, 0, 3, -72], [0, 0, 0, 1]], atol=0.5)


@pytest.mark.slow
def test_a_known_movement_is_found():
    one_thread()
    image, truth = moved_template()
    found = register(image, "affine")
    corners = np.array([[x, y, z, 1] for x in (-60, 60) for y in (-90, 60) for z in (-40, 60)]).T
    assert np.linalg.norm((matrix(found) @ corners - truth @ corners)[:3], axis=0).max() < 2.5
    assert similarity(image, found) > 3 * MIN_SIMILARITY
    again = register(image, "affine")
    np.testing.assert_array_equal(matrix(again), matrix(found))


def test_a_wrong_transform_is_not_similar():
    one_thread()
    image, _ = moved_template()
    turned = itk_types()[0].Euler3DTransform.D.New()
    turned.SetRotation(0.0, 0.0, 1.5)
    assert similarity(image, turned) < MIN_SIMILARITY


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_brain_and_a_whole_head(real_data):
    import nibabel as nib

    one_thread()
    fits = {}
    for name, whole in (("ch2bet", False), ("ch2", True)):
        volume = nib.load(real_data / "head_t1" / f"{name}.nii.gz")
        image = from_array(np.asarray(volume.dataobj, np.float32), volume.affine)
        transform = register(image, "affine", whole_head=whole)
        fits[name] = similarity(image, transform)
        corner = matrix(transform) @ [60, 60, 60, 1]
        np.testing.assert_allclose(corner[:3], [60, 60, 60], atol=6)  # Colin27 lies near the template already
    assert min(fits.values()) > 0.1

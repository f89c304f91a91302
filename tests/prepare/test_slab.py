from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from hrcam_monai.data.itk_images import from_array, itk_types, one_thread, resample, to_array
from hrcam_monai.data.reading import read_scan
from hrcam_monai.prepare.registration import matrix, similarity, template, transform_of
from hrcam_monai.prepare.slab import MIN_SLAB_SIMILARITY, is_slab, register_slab
from hrcam_monai.prepare.steps import Steps, process

POINT = (0.0, -20.0, -15.0)


def slab_of_template():
    """24 mm of ICBM152 about the midbrain in thick slices, tilted and shifted; and the matrix from template to it (RAS+)."""
    truth = from_matvec(Rotation.from_euler("xyz", [14, -4, 6], degrees=True).as_matrix(), [5, 12, -18])
    shape, sizes = np.array([68, 76, 8]), np.array([3.0, 3.0, 3.0])
    middle = apply_affine(truth, POINT) + np.array([3, 8, 4])
    affine = from_matvec(np.diag(sizes), middle - (shape - 1) / 2 * sizes)
    return resample(template().image, from_array(np.zeros(shape, np.uint8), affine), transform_of(np.linalg.inv(truth))), truth


def test_what_is_a_slab():
    assert is_slab(from_array(np.zeros((96, 96, 12), np.float32), np.diag([0.75, 0.75, 2.2, 1])))
    assert is_slab(from_array(np.zeros((8, 96, 96), np.float32), np.diag([3.0, 1, 1, 1])))
    assert not is_slab(from_array(np.zeros((96, 96, 25), np.float32), np.diag([2.0, 2, 5, 1])))


@pytest.mark.slow
def test_a_known_place_is_found_and_the_slab_keeps_its_grid():
    one_thread()
    image, truth = slab_of_template()
    made = process(image, Steps(n4=False, roi=POINT))
    assert np.linalg.norm(made.roi - apply_affine(truth, POINT)) < 2.5  # voxels are of 3 mm
    corners = np.array([[x, y, -15] for x in (-40, 40) for y in (-60, 30)])
    assert np.linalg.norm(apply_affine(made.matrix, corners) - apply_affine(truth, corners), axis=1).max() < 4
    assert made.similarity > 2 * MIN_SLAB_SIMILARITY
    for after, before in zip(to_array(made.image), to_array(image), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-3)  # traces of interpolation are air


def test_a_slab_that_fits_badly_is_an_error(monkeypatch):
    monkeypatch.setattr("hrcam_monai.prepare.steps.register_slab", lambda *_: itk_types()[0].Euler3DTransform.D.New())
    with pytest.raises(ValueError, match=r"registration failed \(similarity 0.0\d\d, at least 0.065 expected\)") as error:
        process(slab_of_template()[0], Steps(n4=False, roi=POINT))
    assert str(error.value).endswith("; look whether --roi is a point that it shows, or leave --register and --roi out.")


def test_a_slab_alone_cannot_be_registered():
    image, _ = slab_of_template()
    with pytest.raises(ValueError, match="is a slab, too thin to be registered by itself; say with --roi which point"):
        process(image, Steps(n4=False, register="affine"))


@pytest.mark.slow
@pytest.mark.real_data
def test_a_volunteers_midbrain_is_found(real_data):
    """A whole-head slab with skull, against its midbrain atlas, which others have registered by way of a T1."""
    one_thread()
    folder = real_data / "neuromelanin"
    scan = read_scan(folder / "sub-001_NM.nii.gz")
    image = from_array(scan[0].numpy(), scan.affine.numpy())
    places = []
    for name in ("sub-001_midbrain_atlas_space-NM", "midbrain_atlas_space-MNI152NLin2009cSym"):
        atlas = nib.load(folder / f"{name}.nii.gz")
        places.append(apply_affine(atlas.affine, np.argwhere(np.asarray(atlas.dataobj) == 2)).mean(0))
    found = register_slab(image, "affine", POINT)
    assert np.linalg.norm(apply_affine(matrix(found), places[1]) - places[0]) < 4
    assert similarity(image, found, margin=True) > MIN_SLAB_SIMILARITY

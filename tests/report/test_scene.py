from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.processing import resample_from_to

from hrcam_monai.report.scene import make_scene, on_grid, own_grid


def axes_of(codes):
    return nib.orientations.axcodes2ornt(tuple(codes))


def volume(shape=(12, 14, 6), affine=None, at=(2, 3, 1)):
    values = np.zeros(shape, np.float32)
    values[at] = 1
    return nib.Nifti1Image(values, np.eye(4) if affine is None else affine)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SRA"])
def test_subjects_are_drawn_along_the_scans_own_axes(axes):
    turn = nib.eulerangles.euler2mat(x=0.4, z=0.1)
    tilted = volume(affine=nib.affines.from_matvec(turn @ np.diag([2.0, 2.0, 5.0]), [-10, 5, 7]))
    other = tilted.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(np.eye(4)), axes_of(axes)))
    scene = make_scene(other, other, "a")
    assert scene.scan.shape == tilted.shape
    assert np.array_equal(np.argwhere(scene.scan > 0.5), [[2, 3, 1]])
    assert np.allclose(scene.affine[:3, :3], np.diag([2, 2, 5]))
    middle = (np.array(tilted.shape) - 1) / 2
    assert np.allclose(apply_affine(scene.affine, middle), apply_affine(tilted.affine, middle))


def test_a_scan_that_is_straight_keeps_its_coordinates_and_values():
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = [30, 40, -20]
    image = nib.Nifti1Image(np.random.default_rng(0).random((6, 7, 5)).astype(np.float32), affine)
    scene = make_scene(image, image, "a")
    assert np.allclose(apply_affine(scene.affine, [0, 0, 0]), apply_affine(affine, [5, 6, 0]))
    assert np.allclose(scene.scan, np.asarray(image.dataobj)[::-1, ::-1])


def test_the_finest_sides_become_coarser_and_the_middle_stays():
    affine = np.diag([0.5, 0.5, 4.0, 1.0])
    slab = nib.Nifti1Image(np.zeros((100, 100, 10), np.uint8), affine)
    shape, grid = own_grid(slab, voxels=30_000)
    assert np.prod(shape) <= 30_000
    assert shape[2] == 10
    sizes = voxel_sizes(grid)
    assert sizes[0] == sizes[1] > 0.9
    assert sizes[2] == 4
    middles = [apply_affine(a, (np.array(s) - 1) / 2) for a, s in ((affine, slab.shape), (grid, shape))]
    assert np.allclose(*middles)


@pytest.mark.parametrize("turn", [0.0, 0.3])
@pytest.mark.parametrize("order", [0, 1])
def test_other_grids_as_nibabel_resamples(turn, order):
    image = nib.Nifti1Image(np.random.default_rng(1).random((9, 8, 7)), np.diag([-2.0, 2.0, 3.0, 1.0]))
    target = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=turn) * 1.7, [-14, 2, 1])
    expected = resample_from_to(image, ((6, 6, 6), target), order=order)
    assert np.allclose(on_grid(image, (6, 6, 6), target, order=order), np.asarray(expected.dataobj), atol=1e-5)


def test_maps_count_from_where_they_count_in_the_label_map():
    heat = np.full((8, 8, 8), 2.0, np.float32)
    heat[0] = -50  # air, which does not count
    heat[5, 5, 5] = 6.0
    scan = np.ones((8, 8, 8), np.float32)
    scan[0] = 0
    found = make_scene(*(nib.Nifti1Image(v, np.eye(4)) for v in (scan, heat)), "a").heats["a"]
    assert found.top == pytest.approx(4)
    assert found.voxel == (5, 5, 5)
    assert found.above.min() == 0
    assert found.above[5, 5, 5] == pytest.approx(4)
    assert not found.flat


def test_other_classes_lie_where_the_network_saw_them_and_nowhere_else():
    scan = nib.Nifti1Image(np.ones((12, 12, 12), np.float32), np.eye(4))
    seen = np.full((3, 3, 3), -7.0, np.float32)  # of a part of the scan: beside it nothing is known, 0 would stand out
    seen[1, 1, 1] = -1
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 4
    scene = make_scene(
        scan, nib.Nifti1Image(np.zeros((12, 12, 12), np.float32), np.eye(4)), "a", others={"b": nib.Nifti1Image(seen, affine)}
    )
    assert scene.heats["a"].flat
    assert scene.heats["a"].voxel == (6, 6, 6)  # the middle, rounded
    found = scene.heats["b"]
    assert found.voxel == (6, 6, 6)
    assert found.top == pytest.approx(6)
    assert found.above[:4].max() == 0


def test_a_brain_that_was_cut_out_bounds_what_is_shown():
    brain = np.zeros((12, 12, 12), np.uint8)
    brain[3:9, 3:9, 3:9] = 1
    heat = np.zeros((12, 12, 12), np.float32)
    heat[0, 0, 0], heat[5, 6, 7] = 9, 2
    images = [nib.Nifti1Image(v, np.eye(4)) for v in (np.ones((12, 12, 12), np.float32), heat, brain)]
    scene = make_scene(images[0], images[1], "a", brain=images[2])
    assert scene.stripped
    assert scene.heats["a"].voxel == (5, 6, 7)
    assert scene.head.sum() == brain.sum()

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.group.peaks import MOST, peak_table

AFFINE = np.array([[2.0, 0, 0, -30], [0, 2, 0, -40], [0, 0, 2, -20], [0, 0, 0, 1]])


def image(*places, shape=(30, 30, 30)):
    values = np.zeros(shape, np.float32)
    for value, voxel in places:
        values[voxel] = value
        values[voxel[0] + 1, voxel[1], voxel[2]] = 0.9 * value
    return nib.Nifti1Image(values, AFFINE)


def test_places_are_world_coordinates_and_sizes_mm3():
    rows = peak_table(image((5.0, (3, 4, 5)), (4.0, (20, 20, 20))), 1.0)
    assert [(r["x"], r["y"], r["z"], r["value"]) for r in rows] == [(-24, -32, -10, 5), (10, 0, 20, 4)]
    assert [r["cluster_mm3"] for r in rows] == [16, 16]
    assert [r["cluster"] for r in rows] == [1, 2]


def test_many_peaks_of_one_sign_do_not_hide_those_of_the_other():
    many = [(3.0, (2 + 5 * (i % 5), 2 + 5 * (i // 5), 3)) for i in range(25)]
    rows = peak_table(image(*many, (-9.0, (20, 20, 20))), 1.0)
    assert sum(r["value"] > 0 for r in rows) == MOST
    assert [r["value"] for r in rows if r["value"] < 0] == [-9]


def test_both_signs_with_the_p_of_their_voxel():
    p = np.ones((30, 30, 30))
    p[3, 4, 5], p[20, 20, 20] = 0.01, 0.2
    rows = peak_table(image((5.0, (3, 4, 5)), (-4.0, (20, 20, 20))), 1.0, p)
    assert {r["value"]: r["p"] for r in rows} == {5: 0.01, -4: pytest.approx(0.2)}


def test_nothing_beyond_the_threshold_and_no_more_than_a_page():
    assert peak_table(image(), 1.0) == []
    assert peak_table(image((1.0, (3, 3, 3))), 0.0) == []
    many = [(2.0, (2 + 6 * i, 2 + 6 * j, 2 + 6 * k)) for i in range(4) for j in range(4) for k in range(4)]
    assert len(peak_table(image(*many), 1.0)) == MOST

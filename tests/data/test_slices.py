from __future__ import annotations

import numpy as np

from hrcam_monai.data.slices import visible_slices


def test_visible_slices_follow_the_axis_that_is_axial():
    mask = np.zeros((10, 6, 6), np.uint8)
    mask[3:5, 2:5, 2:5] = 1
    mask[7, 2:5, 2:5] = 1
    sagittal_first = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
    assert visible_slices(mask, sagittal_first) == [[3, 4], [7, 7]]
    assert visible_slices(np.moveaxis(mask, 0, 2), np.eye(4)) == [[3, 4], [7, 7]]


def test_slices_that_hardly_show_it_are_left_out():
    mask = np.zeros((8, 8, 5), np.uint8)
    mask[:, :, 2] = 1
    mask[:3, :, 1] = 1
    mask[:4, :, 3] = 1
    assert visible_slices(mask, np.eye(4)) == [[2, 3]]
    assert visible_slices(mask * 0, np.eye(4)) == []

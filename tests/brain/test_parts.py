from __future__ import annotations

import numpy as np

from hrcam_monai.brain.parts import largest_part


def test_the_largest_part_and_how_large_the_next_is():
    mask = np.zeros((6, 3, 3), bool)
    mask[:2] = True
    mask[5, 0] = True
    largest, second = largest_part(mask)
    assert largest.sum() == 18
    assert not largest[5].any()
    assert second == 3 / 18
    mask[3] = mask[2, 2, 2] = True  # a bridge by one voxel, and by a corner to the other
    mask[4, 1, 1] = True
    assert largest_part(mask)[1] == 0.0


def test_nothing_is_in_no_part():
    largest, second = largest_part(np.zeros((3, 3, 3), bool))
    assert not largest.any()
    assert second == 0.0

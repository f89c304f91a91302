from __future__ import annotations

import numpy as np

from hrcam_monai.brain import stripped_brain
from hrcam_monai.brain.stripped import air_of
from tests.brain.heads import whole_head


def test_a_stripped_head_is_told_from_a_whole_one():
    image, brain, affine = whole_head(3.0)
    voxel = abs(np.linalg.det(affine[:3, :3]))
    assert stripped_brain(image, voxel) is None
    np.testing.assert_array_equal(stripped_brain(image * brain, voxel), brain)
    np.testing.assert_array_equal(stripped_brain(np.where(brain, image, -1000), voxel), brain)
    assert air_of(np.where(brain, image, -1000)) == -1000
    assert stripped_brain(image * brain, 1.5 * voxel) is None, "clean air, but more than a brain"

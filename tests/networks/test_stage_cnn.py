from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import StageCNN


@pytest.mark.parametrize("dims", [2, 3])
def test_one_resolution_a_stage_the_first_at_the_input(dims):
    net = StageCNN(dims, in_channels=2, num_classes=4)
    x = torch.rand(2, 2, *[24] * dims)
    assert net(x).shape == (2, 4)
    assert [tuple(f.shape[1:]) for f in net.level_features(x)] == [
        (c, *[24 // 2**i] * dims) for i, c in enumerate(net.level_channels)
    ]
    assert all((f >= 0).all() for f in net.level_features(x))


def test_channels_and_convs_must_agree():
    with pytest.raises(ValueError, match="channels has 2 stages, convs has 1; give one number a stage"):
        StageCNN(channels=(4, 8), convs=(1,))

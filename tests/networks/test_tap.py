from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hrcam_monai.networks import Tap
from hrcam_monai.networks.tap import parsed, record


class Twice(nn.Module):
    """One convolution called twice, and a function after each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(F.relu(self.conv(x))))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layer1", ("layer1", None, "", 1)),
        ("relu@2", ("relu", 2, "", 1)),
        ("stage:relu", ("stage", None, "relu", 1)),
        ("stage@2:relu@3", ("stage", 2, "relu", 3)),
        (":relu", ("", None, "relu", 1)),
    ],
)
def test_a_name_says_module_and_function_and_which_call_of_each(name, found):
    assert parsed(name) == found


def test_each_call_is_kept_by_its_number_and_the_last_without_one():
    net, x = Twice(), torch.rand(1, 2, 8, 8)
    taps = [Tap(name, 2) for name in ("conv", "conv@1", "conv@2", ":relu", ":relu@2")]
    with record(net, taps, 2) as seen:
        out = net(x)
    first = net.conv(x)
    torch.testing.assert_close(seen["conv@1"], first)
    torch.testing.assert_close(seen[":relu"], F.relu(first))
    torch.testing.assert_close(seen["conv"], seen["conv@2"])
    torch.testing.assert_close(seen[":relu@2"], out)


def test_no_hook_is_left_though_the_network_fails():
    net = Twice()
    with pytest.raises(RuntimeError), record(net, [Tap("conv", 2), Tap(":relu", 2)], 2):
        net(torch.rand(1, 3, 8, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net(torch.rand(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_channels_come_first_however_the_network_has_them():
    feature = torch.rand(1, 5, 6, 3)
    assert Tap("a", 3, channels_last=True).channels_first(feature).shape == (1, 3, 5, 6)
    assert Tap("a", 5).channels_first(feature) is feature

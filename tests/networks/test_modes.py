import pytest
import torch
from torch import nn

from hrcam_monai.networks.modes import evaluating


def look(net: nn.Module) -> None:
    with evaluating(net):
        assert not any(m.training for m in net.modules())
        assert not torch.is_grad_enabled()
        net(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_module_gets_its_own_mode_back_even_after_an_error(channels):
    net = nn.Sequential(nn.BatchNorm2d(channels), nn.Dropout()).train()
    net[0].eval()  # a frozen part
    if channels == 3:
        look(net)
    else:
        with pytest.raises(RuntimeError, match="running_mean"):
            look(net)
    assert [m.training for m in net] == [False, True]
    assert net.training
    assert torch.is_grad_enabled()

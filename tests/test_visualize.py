from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.visualize import GradCAM
from monai.visualize.class_activation_maps import CAMBase

from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.visualize import HRCAM


@pytest.fixture
def net():
    return HRCAMNet(StageCNN(), 3)


def test_called_as_gradcam_is(net):
    x = torch.rand(1, 1, 32, 40)
    theirs = GradCAM(nn_module=StageCNN(), target_layers="stages.3")(x=x, class_idx=1)
    mine = HRCAM(nn_module=net)(x=x, class_idx=1)
    assert isinstance(HRCAM(nn_module=net), CAMBase)
    assert mine.shape == theirs.shape
    assert HRCAM(nn_module=net).feature_map_size((1, 1, 32, 40)) == (1, 1, 32, 40)


def test_each_sample_its_own_class(net):
    x = torch.rand(3, 1, 32, 32)
    logits, maps = net.eval().class_maps(x)
    cam = HRCAM(nn_module=net)
    for class_idx, expected in [
        (None, logits.argmax(1).tolist()),
        (1, [1, 1, 1]),
        ([2, 0, 1], [2, 0, 1]),
        (torch.tensor([0, 1, 2]), [0, 1, 2]),
    ]:
        torch.testing.assert_close(cam(x, class_idx), torch.stack([maps[i, k : k + 1] for i, k in enumerate(expected)]))


def test_sign_is_turned_only_when_asked(net):
    x = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(HRCAM(nn_module=net, postprocessing=torch.neg)(x, 0), -HRCAM(nn_module=net)(x, 0))


def test_metatensor_in_metatensor_out(net):
    x = MetaTensor(torch.rand(1, 1, 32, 32), affine=torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0])))
    out = HRCAM(nn_module=net)(x)
    assert isinstance(out, MetaTensor)
    torch.testing.assert_close(out.affine, x.affine)
    assert type(HRCAM(nn_module=net)(x.as_tensor())) is torch.Tensor


def test_nothing_stays_on_the_network(net):
    net.train()
    net.backbone.stages[0].eval()
    modes = [m.training for m in net.modules()]
    HRCAM(nn_module=net)(torch.rand(1, 1, 32, 32))
    assert [m.training for m in net.modules()] == modes
    assert all(p.grad is None for p in net.parameters())
    assert all(not m._forward_hooks for m in net.modules())


@pytest.mark.parametrize(
    ("class_idx", "message"),
    [([0, 1], "class_idx has 2 entries for a batch of 3"), (3, r"class_idx \[3, 3, 3\] is outside the 3 classes, 0 to 2")],
)
def test_bad_class_index(net, class_idx, message):
    with pytest.raises(ValueError, match=message):
        HRCAM(nn_module=net)(torch.rand(3, 1, 32, 32), class_idx)


def test_needs_class_maps():
    with pytest.raises(TypeError, match="HRCAM needs a network with class_maps; wrap StageCNN in an HRCAMNet"):
        HRCAM(nn_module=StageCNN())

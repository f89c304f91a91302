import pytest
import torch
from monai.networks.nets import DenseNet121
from monai.visualize import GradCAM

from hrcam_monai.compare.maps import tapped_layers
from hrcam_monai.compare.peers import PEERS, UnsuitedError, classifier_layer, peer, raw
from hrcam_monai.networks import HRCAMNet, StageCNN


@pytest.fixture(params=[2, 3])
def net(request):
    return StageCNN(spatial_dims=request.param, channels=(4, 6, 8), convs=(1, 1, 1)).eval()


def images(net, count=2):
    dims = 2 if isinstance(next(net.parameters()), torch.Tensor) and next(net.parameters()).ndim == 4 else 3
    return torch.rand(count, 1, *[24] * dims)


@pytest.mark.parametrize("name", list(PEERS))
def test_batch_equals_one_by_one(name, net):
    """Every library's batch faults are worked round; LayerCAM's fusions are scaled by the whole batch on purpose."""
    if name.startswith("TorchCAM"):
        pytest.importorskip("torchcam")
    x = images(net)
    run = PEERS[name].make(net, tapped_layers(net, x.shape[1:]))
    together = run(x, 1)
    apart = [run(image[None], 1) for image in x]
    assert together
    for method, maps in together.items():
        assert maps.shape == (2, 1, *x.shape[2:])
        assert not maps.requires_grad
        if "mean" not in method and "fusion" not in method:
            assert torch.allclose(maps, torch.cat([a[method] for a in apart]), atol=1e-5)
    assert all(p.grad is None for p in net.parameters())


def test_grad_cam_is_monais(net):
    x = images(net, 1)
    layers = tapped_layers(net, x.shape[1:])
    ours = PEERS["MONAI Grad-CAM"].make(net, layers)(x, 0)["MONAI Grad-CAM"]
    assert torch.equal(ours, GradCAM(net, target_layers=layers[-1], postprocessing=raw)(x=x, class_idx=0).detach())


def test_cam_on_densenet_finds_its_linear_layer():
    net = DenseNet121(2, 1, 3).eval()
    assert classifier_layer(net) == "class_layers.out"


def test_cam_does_not_suit_hrcam():
    with pytest.raises(UnsuitedError, match="CAM needs logits from global average pooling and one linear layer"):
        classifier_layer(HRCAMNet(StageCNN(), 2))


def test_without_torchcam(monkeypatch, net):
    monkeypatch.setitem(__import__("sys").modules, "torchcam", None)
    with pytest.raises(UnsuitedError, match=r"TorchCAM is not installed; pip install hrcam-monai\[compare\]"):
        PEERS["TorchCAM LayerCAM"].make(net, ["stages.0"])


def test_a_new_peer_is_one_entry(net):
    @peer("the image", notes="none")
    def make(network, layers):
        return lambda x, class_idx: {"the image": x}

    try:
        assert PEERS["the image"].make is make
    finally:
        del PEERS["the image"]

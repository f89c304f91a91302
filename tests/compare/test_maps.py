import pytest
import torch
from torch import nn

from hrcam_monai.compare import Candidate, PeerMaps
from hrcam_monai.compare.maps import tapped_layers
from hrcam_monai.compare.peers import PEERS, peer
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.networks import HRCAMNet, StageCNN


def hrcam(flips=()):
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), num_classes=2, pooling="lse").eval()
    return Candidate("joint", net, HRCAMInferer(slice_axis=2, flip_axes=flips))


@pytest.mark.parametrize("flips", [(), (0, 1)])
def test_levels_and_bias_add_up_to_the_map(flips):
    candidate = hrcam(flips)
    maps = candidate.read(torch.rand(1, 1, 16, 16, 4), 1)[1]
    assert list(maps) == ["HR-CAM, joint", "HR-CAM, joint, level 1 alone", "HR-CAM, joint, level 2 alone"]
    total = sum(m for n, m in maps.items() if "alone" in n) + candidate.network.head.bias[1]
    assert torch.allclose(total, maps["HR-CAM, joint"], atol=1e-5)


def test_the_map_and_logits_are_the_inferers():
    candidate = hrcam((0,))
    x = torch.rand(1, 1, 16, 16, 4)
    out = candidate.inferer(x, candidate.network)
    assert torch.allclose(candidate.read(x, 0)[1]["HR-CAM, joint"], out["maps"][0, 0], atol=1e-6)
    assert torch.equal(candidate.logits(x), out["logits"][0])
    assert not torch.allclose(candidate.inferer.of_own_map()(x, candidate.network)["maps"], out["maps"])


@pytest.mark.parametrize("kind", ["classifier", "hrcam"])
def test_peers_on_volumes_leave_the_network_as_it_is(kind):
    net = StageCNN(channels=(4, 6), convs=(1, 1)).eval() if kind == "classifier" else hrcam().network
    before = {k: v.clone() for k, v in net.state_dict().items()}
    peers = PeerMaps(Candidate("base", net, HRCAMInferer(slice_axis=2)), methods=["MONAI CAM", "MONAI Grad-CAM"])
    maps = peers(torch.rand(1, 1, 16, 16, 4), 1)
    assert maps["MONAI Grad-CAM (base)"].shape == (16, 16, 4)
    assert ("MONAI CAM (base)" in maps) == (kind == "classifier")
    assert ("MONAI CAM" in peers.left_out) == (kind == "hrcam")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())


@pytest.mark.parametrize("inferer", [HRCAMInferer(slice_axis=2, flip_axes=[0]), HRCAMInferer(slice_axis=2, slice_sigma=1.0)])
def test_strong_peers_are_also_read_as_hrcam_is(inferer):
    net, x = StageCNN(channels=(4, 6), convs=(1, 1)).eval(), torch.rand(1, 1, 16, 16, 4)
    maps = PeerMaps(Candidate("base", net, inferer), methods=["MONAI CAM", "MONAI Grad-CAM"])(x, 1)
    assert list(maps) == ["MONAI CAM (base)", "MONAI Grad-CAM (base)", "MONAI Grad-CAM, read as HR-CAM (base)"]
    plain = PeerMaps(Candidate("base", net, HRCAMInferer(slice_axis=2)), methods=["MONAI Grad-CAM"])
    own = plain(x, 1)["MONAI Grad-CAM (base)"]
    assert torch.equal(maps["MONAI Grad-CAM (base)"], own)
    expected = own
    if inferer.mirrors:
        expected = (own + plain(x.flip(2), 1)["MONAI Grad-CAM (base)"].flip(0)) / 2
    if inferer.slice_sigma:
        expected = inferer._smooth(own[None, None])[0, 0]
    torch.testing.assert_close(maps["MONAI Grad-CAM, read as HR-CAM (base)"], expected)


def test_a_peer_that_fails_is_left_out_with_its_reason(caplog):
    @peer("broken")
    def make(network, layers):
        raise RuntimeError("has no\n such thing")

    try:
        peers = PeerMaps(Candidate("base", StageCNN().eval(), HRCAMInferer()), methods=["broken", "MONAI Grad-CAM"])
        assert list(peers(torch.rand(1, 1, 32, 32), 0)) == ["MONAI Grad-CAM (base)"]
        assert peers.left_out == {"broken": "RuntimeError: has no such thing"}
        assert "broken on base left out" in caplog.text
    finally:
        del PEERS["broken"]


def test_layers_are_those_hrcam_taps():
    assert tapped_layers(hrcam().network, (1, 32, 32)) == [
        f"backbone.{n}" for n in tapped_layers(hrcam().network.backbone, (1, 32, 32))
    ]


def test_layers_are_those_that_a_user_has_named():
    conv, last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
    cnn = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    assert tapped_layers(HRCAMNet(cnn, 2), (1, 32, 32)) == ["backbone.1", "backbone.4"]
    assert tapped_layers(HRCAMNet(cnn, 2, taps=["3"]), (1, 32, 32)) == ["backbone.3"]


def test_an_unknown_method():
    with pytest.raises(ValueError, match="no method 'X'; choose among MONAI CAM, MONAI Grad-CAM"):
        PeerMaps(Candidate("base", StageCNN()), methods=["X"])

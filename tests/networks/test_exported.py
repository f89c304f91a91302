from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121, resnet18

from hrcam_monai.networks import ExportableHRCAMNet, HRCAMNet, StageCNN, load_exported, pool_maps

NETWORKS = {
    "stage, 2-D": (lambda: StageCNN(), 2, "lse", 32),
    "stage, 2-D, gap": (lambda: StageCNN(), 2, "gap", 32),
    "stage, 3-D": (lambda: StageCNN(spatial_dims=3), 3, "lse", 24),
    "DenseNet121, 2-D": (lambda: DenseNet121(2, 1, 2), 2, "lse", 64),
    "ResNet18, 3-D": (lambda: resnet18(spatial_dims=3, n_input_channels=1, num_classes=2), 3, "lse", 32),
}


def made(name):
    torch.manual_seed(1)
    backbone, dims, pooling, size = NETWORKS[name]
    network = ExportableHRCAMNet(backbone(), 2, spatial_dims=dims, pooling=pooling, reference=0).eval()
    return network, [torch.rand(batch, 1, *[size] * dims) for batch in (1, 4)]


def assert_equal(exported, network, x):
    with torch.no_grad():
        logits, maps = exported(x)
        for ours, theirs in zip(network(x), (logits, maps), strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pool_maps(maps, network.head.pooling, network.head.sharpness), logits, atol=1e-4, rtol=1e-4)


def test_same_weights_as_the_network_it_comes_from():
    network, (x, _) = made("stage, 2-D")
    plain = HRCAMNet(StageCNN(), 2, pooling="lse", reference=0).eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain.class_maps(x)[1], network(x)[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_torchscript_gives_logits_and_maps(name, tmp_path):
    """Scripted where the backbone lists its levels itself, traced otherwise."""
    network, images = made(name)
    scripted = torch.jit.script(network) if name.startswith("stage") else torch.jit.trace(network, images[1])
    scripted.save(tmp_path / "net.ts")
    for x in images:
        assert_equal(load_exported(tmp_path / "net.ts"), network, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_gives_logits_and_maps(name, tmp_path):
    """Any batch; any image size, too, where the network allows it: log-sum-exp on a plain CNN."""
    network, images = made(name)
    shape = {0: torch.export.Dim("batch")}
    if name in ("stage, 2-D", "stage, 3-D"):
        shape |= {i + 2: torch.export.Dim(f"size{i}", min=16) for i in range(images[0].ndim - 2)}
        images.append(torch.rand(2, 1, *[40] * (images[0].ndim - 3), 56))
    path = tmp_path / "net.onnx"
    torch.onnx.export(network, (images[1],), path, dynamic_shapes=(shape,), dynamo=True, verbose=False)
    for x in images:
        assert_equal(load_exported(path), network, x)


def test_what_cannot_be_loaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.ts: no such exported model; make it with monai\.bundle's ckpt_export"):
        load_exported(tmp_path / "gone.ts")
    (tmp_path / "bad.ts").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"bad\.ts: no TorchScript .* give a file made by ckpt_export"):
        load_exported(tmp_path / "bad.ts")
    torch.jit.trace(StageCNN().eval(), torch.rand(1, 1, 32, 32)).save(tmp_path / "plain.ts")
    with pytest.raises(ValueError, match=r"plain\.ts: gives no class maps; export it with export\.json"):
        load_exported(tmp_path / "plain.ts")

from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import EfficientNetLite, HRCAMNet, StageCNN, pool_maps
from tests.networks.backbones import BACKBONES, naive_hrcam

SIZE = {2: (70, 97), 3: (40, 33, 36)}


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize("name", BACKBONES)
def test_completeness_and_batch_equals_one_by_one(name, pooling):
    dims, make = BACKBONES[name]
    net = HRCAMNet(make(), 3, spatial_dims=dims, pooling=pooling).eval()
    x = torch.rand(2, 1, *SIZE[dims])
    with torch.no_grad():
        logits, maps = net.class_maps(x)
        assert maps.shape == (2, 3, *SIZE[dims])
        torch.testing.assert_close(pool_maps(maps, pooling, 10.0), logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net(x), logits, rtol=1e-4, atol=1e-5)
        single = torch.cat([net.class_maps(x[i : i + 1])[1] for i in range(2)])
        scale = float(maps.abs().max())
        assert float((single - maps).abs().max()) <= 1e-4 * max(scale, 1)


def test_two_dimensional_networks_work_with_channels_last():
    """They take up to twice as long otherwise."""
    net = HRCAMNet(StageCNN(2), 2)
    levels = net.features(torch.rand(2, 1, 32, 32))
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in levels)
    assert not levels[0].is_contiguous()


@pytest.mark.parametrize("name", ["stage-2d", "resnet18-2d", "user-3d"])
def test_equals_the_naive_method(name):
    dims, make = BACKBONES[name]
    net = HRCAMNet(make(), 2, spatial_dims=dims).eval()
    x = torch.rand(1, 1, *SIZE[dims])
    with torch.no_grad():
        logits, maps = net.class_maps(x)
        naive_logits, naive_maps = naive_hrcam(net.features(x), net.head.weight, net.head.bias, list(SIZE[dims]))
    scale = float(naive_maps.abs().max())
    assert float((maps - naive_maps).abs().max()) <= 1e-5 * max(scale, 1)
    assert float((logits - naive_logits).abs().max()) <= 1e-5 * max(scale, 1)


def test_level_maps_add_up():
    net = HRCAMNet(StageCNN(), 2).eval()
    x = torch.rand(2, 1, 33, 40)
    logits, levels = net.level_maps(x)
    assert len(levels) == 4
    torch.testing.assert_close(sum(levels) + net.head.bias.view(1, -1, 1, 1), net.class_maps(x)[1])
    torch.testing.assert_close(logits, net(x))


def test_taps_named_by_the_user():
    net = HRCAMNet(StageCNN(), 2, taps=["stages.1", "stages.3"])
    assert net.head.in_channels == [24, 48]
    assert net.class_maps(torch.rand(1, 1, 32, 32))[1].shape == (1, 2, 32, 32)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("pooling", "reference"), [("gap", None), ("lse", 0), ("lse", "mean")])
def test_scripted_equals_eager(dims, pooling, reference):
    net = HRCAMNet(StageCNN(spatial_dims=dims), 2, spatial_dims=dims, pooling=pooling, reference=reference).eval()
    scripted = torch.jit.script(net)
    x = torch.rand(2, 1, *[19] * dims)
    torch.testing.assert_close(scripted(x), net(x))
    for mine, theirs in zip(scripted.class_maps(x), net.class_maps(x), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_needs_no_gradient(context):
    net = HRCAMNet(StageCNN(), 2)
    with context():
        assert not net.class_maps(torch.rand(1, 1, 16, 16))[1].requires_grad


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_complete(device, dtype):
    net = HRCAMNet(StageCNN(), 2, pooling="lse").eval().to(device)
    x = torch.rand(2, 1, 32, 32, device=device)
    with torch.no_grad(), torch.autocast(device, dtype=dtype):
        logits, maps = net.class_maps(x)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(pool_maps(maps, "lse", 10.0), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps, net.class_maps(x)[1], rtol=0.1, atol=0.1)


def test_gradients_reach_every_level():
    net = HRCAMNet(StageCNN(), 2, pooling="lse")
    net(torch.rand(2, 1, 32, 32))[:, 0].sum().backward()
    assert all(stage.conv0.conv.weight.grad.abs().sum() > 0 for stage in net.backbone.stages)


def test_frozen_backbone_keeps_weights_and_statistics():
    net = HRCAMNet(StageCNN(), 2, freeze_backbone=True).train()
    before = {k: v.clone() for k, v in net.backbone.state_dict().items()}
    net(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in net.backbone.state_dict().items())
    assert all(p.grad is None for p in net.backbone.parameters())
    assert net.head.weight.grad is not None
    net.freeze_backbone(False)
    assert net.backbone.training
    assert all(p.requires_grad for p in net.backbone.parameters())


@pytest.mark.parametrize("backbone", [StageCNN(top_down=True), EfficientNetLite()], ids=["stages", "lite"])
def test_what_makes_the_levels_alone_learns_beside_a_frozen_classifier(backbone):
    net = HRCAMNet(backbone, 2, freeze_backbone=True).train()
    x = torch.rand(2, 1, 64, 64)
    logits, weights = backbone(x).detach(), {k: v.clone() for k, v in backbone.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):  # the head begins with zeros, which give its levels no gradient
        optimizer.zero_grad()
        net(x)[:, 0].sum().backward()
        optimizer.step()
    torch.testing.assert_close(backbone(x), logits)
    moved = {k for k, v in backbone.state_dict().items() if not torch.equal(v, weights[k])}
    assert moved
    assert all(k.startswith(("top_down.", "fine.")) for k in moved)


def test_an_optimizer_does_not_move_a_frozen_backbone_that_had_gradients():
    net = HRCAMNet(StageCNN(), 2)
    net(torch.rand(2, 1, 32, 32)).sum().backward()
    net.freeze_backbone()
    before = {k: v.clone() for k, v in net.backbone.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=False)  # as MONAI's trainer does
        net(torch.rand(2, 1, 32, 32)).sum().backward()
        optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in net.backbone.state_dict().items())


def test_spatial_dims_must_be_2_or_3():
    with pytest.raises(ValueError, match="spatial_dims is 1; it must be 2 or 3"):
        HRCAMNet(StageCNN(), 2, spatial_dims=1)

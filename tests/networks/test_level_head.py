from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import LevelHead, pool_maps
from hrcam_monai.networks.level_head import pooling_to, upsample, upsample_by_axes, upsampled_mean
from tests.networks.backbones import naive_hrcam

SIZES = [
    ([16, 16], [(16, 16), (8, 8), (4, 4)]),
    ([31, 45], [(31, 45), (16, 23), (7, 5)]),  # odd
    ([23, 30], [(7, 7), (1, 3)]),
    ([12, 14, 5], [(12, 14, 5), (6, 7, 5), (3, 4, 2)]),  # anisotropic
    ([10, 10], [(13, 11)]),  # a level larger than the input
]


def make(shapes, pooling="gap", dtype=torch.float32):
    channels = [3 + i for i in range(len(shapes))]
    head = LevelHead(channels, 3, pooling=pooling).to(dtype)
    return head, [torch.randn(2, c, *s, dtype=dtype) for c, s in zip(channels, shapes, strict=True)]


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize(("size", "shapes"), SIZES)
def test_completeness(size, shapes, pooling):
    head, features = make(shapes, pooling)
    logits, maps = head.class_maps(features, size)
    assert maps.shape == (2, 3, *size)
    torch.testing.assert_close(pool_maps(maps, pooling, head.sharpness), logits, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(head(features, size), logits, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "shapes"), SIZES)
def test_equals_the_naive_method(size, shapes):
    head, features = make(shapes)
    logits, maps = head.class_maps(features, size)
    naive_logits, naive_maps = naive_hrcam(features, head.weight, head.bias, size)
    torch.testing.assert_close(logits, naive_logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(maps, naive_maps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "shapes"), SIZES)
def test_levels_and_bias_add_up_to_the_map(size, shapes):
    head, features = make(shapes)
    logits, levels = head.level_maps(features, size)
    total = sum(levels) + head.bias.view(1, -1, *[1] * len(size))
    torch.testing.assert_close(total, head.class_maps(features, size)[1])
    torch.testing.assert_close(logits, head(features, size))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_upsampling_axis_by_axis_equals_that_of_pytorch(dtype):
    x, size = torch.randn(2, 3, 4, 5, 7, dtype=dtype, requires_grad=True), [9, 5, 20]
    theirs = torch.nn.functional.interpolate(x, size=size, mode="trilinear", align_corners=False)
    with torch.autocast("cpu", torch.bfloat16):
        ours = upsample_by_axes(x, size)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs)
    target = torch.randn_like(theirs)
    grads = [torch.autograd.grad((maps * target).sum(), x)[0] for maps in (ours, theirs)]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(upsample(x, size), ours)


def test_upsampled_mean_at_a_factor_that_is_no_integer():
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(upsampled_mean(x, [230, 11]), upsample(x, [230, 11]).mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("pooling", ["gap", "lse"])
def test_dtypes_complete_in_float32_at_least(dtype, pooling):
    head, features = make([(9, 9), (5, 5)], pooling, dtype)
    logits, maps = head.class_maps(features, [9, 9])
    assert logits.dtype == maps.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(pool_maps(maps, pooling, 10.0), head(features, [9, 9]), rtol=1e-4, atol=1e-6)


def test_lse_lies_between_mean_and_maximum():
    maps = torch.randn(2, 3, 8, 8)
    mean, top = maps.flatten(2).mean(2), maps.flatten(2).amax(2)
    assert ((pool_maps(maps, "lse", 5.0) > mean) & (pool_maps(maps, "lse", 5.0) < top)).all()
    torch.testing.assert_close(pool_maps(maps.double(), "lse", 1e-4), mean.double(), atol=1e-3, rtol=0)
    assert pool_maps(1e4 * maps, "lse", 10.0).isfinite().all()


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize("size", [(6, 7), (3, 4, 5)])
def test_maps_are_shifted_as_a_whole_to_what_they_pool_to(size, pooling):
    maps, scores = torch.randn(2, 3, *size), torch.randn(2, 3)
    found = pooling_to(scores, maps, lambda m: pool_maps(m, pooling))
    torch.testing.assert_close(pool_maps(found, pooling), scores)
    torch.testing.assert_close((found - maps).flatten(2).std(2), torch.zeros(2, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", ["gap", "lse"])
def test_gradients(pooling):
    head, features = make([(4, 4), (3, 3)], pooling, torch.float64)
    features = [f.requires_grad_() for f in features]
    assert torch.autograd.gradcheck(lambda *f: head(list(f), [5, 5]), features)


def test_batch_equals_one_by_one():
    head, features = make([(9, 9), (5, 5)], "lse")
    maps = head.class_maps(features, [9, 9])[1]
    single = torch.cat([head.class_maps([f[i : i + 1] for f in features], [9, 9])[1] for i in range(2)])
    torch.testing.assert_close(maps, single)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": []}, "LevelHead needs at least one level."),
        ({"pooling": "max"}, "pooling is 'max'; choose one of gap, lse."),
        ({"sharpness": 0}, "sharpness is 0; it must be above 0."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.")):
        LevelHead(**{"in_channels": [3], "num_classes": 2, **arguments})


def test_wrong_number_of_levels():
    head, features = make([(4, 4), (2, 2)])
    with pytest.raises(ValueError, match="LevelHead has 2 levels, got 1 feature maps"):
        head(features[:1], [4, 4])


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize(("size", "shapes"), SIZES)
def test_the_reference_class_has_no_map_and_no_gradient(size, shapes, pooling):
    channels = [3 + i for i in range(len(shapes))]
    head = LevelHead(channels, 3, pooling=pooling, reference=1)
    features = [torch.randn(2, c, *s) for c, s in zip(channels, shapes, strict=True)]
    logits, maps = head.class_maps(features, size)
    assert not maps[:, 1].any()
    assert logits[:, 1].abs().max() < 1e-6
    assert maps[:, [0, 2]].abs().amax((0, *range(2, maps.ndim))).min() > 0
    torch.testing.assert_close(pool_maps(maps, pooling, head.sharpness), logits, rtol=1e-4, atol=1e-6)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    assert not head.weight.grad[1].any()
    assert not head.bias.grad[1].any()


def test_any_two_class_head_can_be_written_against_a_reference():
    """With gap: the same softmax, all evidence in the map of the other class."""
    free, bound = LevelHead([4], 2), LevelHead([4], 2, reference=0)
    bound.weight.data = free.weight.data - free.weight.data[0]
    bound.bias.data = free.bias.data - free.bias.data[0]
    features = [torch.randn(5, 4, 8, 8)]
    torch.testing.assert_close(bound(features, [8, 8]).softmax(1), free(features, [8, 8]).softmax(1))


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize(("size", "shapes"), SIZES)
def test_against_the_mean_maps_add_up_to_zero(size, shapes, pooling):
    channels = [3 + i for i in range(len(shapes))]
    head = LevelHead(channels, 3, pooling=pooling, reference="mean")
    features = [torch.randn(2, c, *s) for c, s in zip(channels, shapes, strict=True)]
    logits, maps = head.class_maps(features, size)
    assert maps.sum(1).abs().max() < 1e-5
    assert maps.abs().amax((0, *range(2, maps.ndim))).min() > 0
    torch.testing.assert_close(pool_maps(maps, pooling, head.sharpness), logits, rtol=1e-4, atol=1e-6)
    free = LevelHead(channels, 3, pooling=pooling)
    free.load_state_dict(head.state_dict())
    if pooling == "gap":
        torch.testing.assert_close(free(features, size).softmax(1), logits.softmax(1))


def test_against_the_mean_either_of_two_classes_is_a_peak_in_its_own_map():
    head = LevelHead([1], 2, pooling="lse", reference="mean")
    head.weight.data = torch.tensor([[-3.0], [5.0]])
    head.bias.data.zero_()
    spot = torch.zeros(2, 1, 16, 16)
    spot[0, 0, 4, 4], spot[1, 0, 4, 4] = 1, -1  # evidence for the one class, and for the other
    logits, maps = head.class_maps([spot], [16, 16])
    assert maps[0, 1].argmax() == maps[1, 0].argmax() == 4 * 16 + 4
    torch.testing.assert_close(logits[0], logits[1].flip(0))


def test_the_reference_is_a_class():
    with pytest.raises(ValueError, match="reference is 2; it must be None, 'mean' or a class, 0 to 1"):
        LevelHead([4], 2, reference=2)

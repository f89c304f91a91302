from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter1d

from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.networks import HRCAMNet, StageCNN, pool_maps


@pytest.fixture
def net():
    return HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling="lse").eval()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("pooling", ["gap", "lse"])
def test_a_volume_is_its_slices_stacked(axis, pooling):
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling=pooling).eval()
    volume = torch.rand(2, 1, 12, 14, 10)
    out = HRCAMInferer(pooling=pooling, slice_axis=axis, slice_batch=3)(volume, net)
    for i in range(volume.shape[axis + 2]):
        maps = net.class_maps(volume.select(axis + 2, i))[1]
        torch.testing.assert_close(out["maps"].select(axis + 2, i), maps)
    scores = torch.stack([net(volume.select(axis + 2, i)) for i in range(volume.shape[axis + 2])], -1)
    torch.testing.assert_close(out["logits"], pool_maps(scores, "lse", 10.0))


@pytest.mark.parametrize("slice_sigma", [0.0, 1.5])
@pytest.mark.parametrize("flip_axes", [[], [0], [0, 1]])
def test_completeness_over_the_whole_volume(net, flip_axes, slice_sigma):
    out = HRCAMInferer(slice_axis=2, flip_axes=flip_axes, slice_sigma=slice_sigma)(torch.rand(1, 1, 12, 14, 10), net)
    torch.testing.assert_close(pool_maps(out["maps"], "lse", 10.0), out["logits"], rtol=1e-4, atol=1e-6)


def test_a_map_read_through_flips_moves_with_the_image(net):
    inferer, x = HRCAMInferer(flip_axes=[0, 1]), torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(inferer(x.flip(2), net)["maps"].flip(2), inferer(x, net)["maps"])


def test_random_flip_is_one_of_the_pairs(net):
    x = torch.rand(1, 1, 16, 16)
    plain = net.class_maps(x)[1]
    pairs = [(plain + net.class_maps(x.flip(a))[1].flip(a)) / 2 for a in ([2], [3], [2, 3])]
    found = HRCAMInferer(flip_axes=[0, 1], flips="random")(x, net)["maps"]
    assert any(torch.allclose(found, pair, atol=1e-6) for pair in pairs)


@torch.no_grad()
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_smoothed_along_their_axis_alone(net, axis):
    x = torch.rand(2, 1, 12, 14, 16)
    plain, smooth = (HRCAMInferer(slice_axis=axis, slice_sigma=s)(x, net)["maps"].movedim(axis + 2, 0) for s in (0.0, 1.0))
    expected = gaussian_filter1d(plain.numpy(), 1.0, axis=0, mode="nearest")
    torch.testing.assert_close(smooth, torch.from_numpy(expected), rtol=1e-4, atol=1e-4 * float(plain.std()))
    own = HRCAMInferer(slice_axis=axis, slice_sigma=1.0, flip_axes=[0]).of_own_map()(x, net)["maps"].movedim(axis + 2, 0)
    assert torch.equal(own, plain)


def test_mixtures_and_what_their_maps_should_be(net):
    torch.manual_seed(0)
    x = torch.rand(4, 1, 32, 32)
    out = HRCAMInferer(flip_axes=[0], flips="random", mixing=4.0)(x, net)
    assert out["mixed"].shape == out["expected"].shape == out["maps"].shape
    assert out["mixed"].requires_grad
    assert not out["expected"].requires_grad
    values = set(out["maps"].flatten().tolist())
    assert set(out["expected"].flatten().tolist()) <= values


def test_plain_classifier_gives_logits_only():
    net = StageCNN(channels=(4, 6), convs=(1, 1)).eval()
    assert set(HRCAMInferer()(torch.rand(2, 1, 16, 16), net)) == {"logits"}
    assert HRCAMInferer(slice_axis=2)(torch.rand(2, 1, 16, 16, 5), net)["logits"].shape == (2, 2)


def test_plain_tensors_out(net):
    out = HRCAMInferer()(MetaTensor(torch.rand(1, 1, 16, 16)), net)
    assert all(type(v) is torch.Tensor for v in out.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max'; choose one of gap, lse."),
        ({"flips": "some"}, "flips is 'some'; choose one of all, random."),
        ({"flip_axes": [-1]}, r"flip_axes is \[-1\]; name each spatial axis \(0, 1 or 2\) once at most"),
        ({"slice_axis": -1}, "slice_axis is -1; it must be None or a spatial axis"),
        ({"slice_sigma": -1.0, "slice_axis": 2}, "slice_sigma is -1.0; it must be 0, or above 0 with a slice_axis."),
        ({"slice_sigma": 1.0}, "slice_sigma is 1.0; it must be 0, or above 0 with a slice_axis."),
        ({"scales": [1.5, 0.0]}, r"scales is \[1.5, 0.0\]; give a list of factors from 0.25 to 4, such as \[1.25, 1.5\]."),
        ({"scales": 1.5}, r"scales is 1.5; give a list of factors from 0.25 to 4"),
        ({"scales": "abc"}, r"scales is 'abc'; give a list of factors from 0.25 to 4"),
        ({"scales": [float("nan")]}, r"scales is \[nan\]; give a list of factors from 0.25 to 4"),
        ({"edges": 2.5}, "edges is 2.5; it must be a whole number, 0 or more."),
        ({"edges": "abc"}, "edges is 'abc'; it must be a whole number, 0 or more."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HRCAMInferer(**arguments)


@pytest.mark.parametrize(("shape", "axis"), [((24, 24), None), ((24, 24, 3), 2)])
def test_along_edges_the_score_is_still_the_pooled_map(shape, axis):
    net = HRCAMNet(StageCNN(), num_classes=2, pooling="lse").eval()
    x = torch.rand(2, 1, *shape)
    plain, moved = (HRCAMInferer(slice_axis=axis, flip_axes=[0], edges=n)(x, net) for n in (0, 3))
    assert not torch.allclose(plain["maps"], moved["maps"])
    torch.testing.assert_close(pool_maps(moved["maps"], "lse"), moved["logits"])
    inferer = HRCAMInferer(slice_axis=axis, edges=3)
    torch.testing.assert_close(inferer.of_own_map()(x, net)["maps"], HRCAMInferer(slice_axis=axis)(x, net)["maps"])
    classifier = StageCNN().eval()
    torch.testing.assert_close(inferer(x, classifier)["logits"], HRCAMInferer(slice_axis=axis)(x, classifier)["logits"])
    with pytest.raises(ValueError, match="edges is -1; it must be a whole number, 0 or more"):
        HRCAMInferer(edges=-1)


def test_edges_are_those_of_the_slice_and_not_of_those_beside_it():
    net = HRCAMNet(StageCNN(in_channels=3), num_classes=2, in_channels=3, pooling="lse").eval()
    with torch.no_grad():
        next(net.backbone.parameters())[:, 1:] = 0  # what lies beside is not seen
    x = torch.rand(1, 3, 24, 24, 3)
    other = torch.cat([x[:, :1], torch.rand(1, 2, 24, 24, 3)], dim=1)
    told, untold = (
        [HRCAMInferer(slice_axis=2, edges=3, neighbours=n)(y, net)["maps"] for y in (x, other)] for n in ([-1, 1], [])
    )
    torch.testing.assert_close(*told)
    assert not torch.allclose(*untold)


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize(
    ("shape", "axis", "dims"), [((24, 20), None, 2), ((24, 20, 3), 2, 2), ((3, 24, 20), 0, 2), ((16, 20, 12), None, 3)]
)
def test_across_scales_the_score_is_that_of_the_image_as_it_is(shape, axis, dims, pooling):
    net = HRCAMNet(StageCNN(spatial_dims=dims, channels=(4, 6), convs=(1, 1)), 2, spatial_dims=dims, pooling=pooling).eval()
    x = torch.rand(2, 1, *shape)
    plain, read = (HRCAMInferer(pooling=pooling, slice_axis=axis, scales=s)(x, net) for s in ((), (0.75, 1.5)))
    assert read["maps"].shape == plain["maps"].shape
    assert not torch.allclose(read["maps"], plain["maps"])
    torch.testing.assert_close(read["logits"], plain["logits"])
    both = HRCAMInferer(pooling=pooling, slice_axis=axis, scales=[1.5], flip_axes=[0], edges=2)
    out = both(x, net)
    torch.testing.assert_close(both(x[1:], net)["maps"], out["maps"][1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.of_own_map()(x, net)["maps"], plain["maps"])


@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize("reading", [{"edges": 3}, {"scales": [0.75, 1.5]}, {"edges": 3, "scales": [1.5]}], ids=str)
@pytest.mark.parametrize(("shape", "along"), [((24, 20), {}), ((24, 20, 3), {"slice_axis": 2, "slice_sigma": 1.0})], ids=str)
@pytest.mark.parametrize("flip_axes", [[], [0]])
def test_where_is_read_better_and_what_stays_as_it_is(flip_axes, shape, along, reading, pooling):
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling=pooling).eval()
    x, options = torch.rand(2, 1, *shape), {"pooling": pooling, "flip_axes": flip_axes, **along}
    plain, better = (HRCAMInferer(**options, **own)(x, net) for own in ({}, reading))
    assert not torch.allclose(better["maps"], plain["maps"])
    torch.testing.assert_close(better["logits"], plain["logits"])
    assert torch.equal(HRCAMInferer(**options, **reading).of_scores()(x, net)["maps"], plain["maps"])
    own = pool_maps(better["maps"], pooling) if not along or pooling == "lse" else None
    if own is not None:
        torch.testing.assert_close(own, better["logits"], rtol=1e-4, atol=1e-5)


def test_across_scales_a_plain_classifier_gives_its_logits():
    classifier, x = StageCNN().eval(), torch.rand(2, 1, 24, 24)
    torch.testing.assert_close(HRCAMInferer(scales=[1.5])(x, classifier)["logits"], classifier(x))

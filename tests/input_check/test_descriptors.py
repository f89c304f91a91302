from __future__ import annotations

import pytest
import torch

from hrcam_monai.input_check import describe
from hrcam_monai.networks import HRCAMNet, StageCNN


def network(dims=2):
    torch.manual_seed(0)
    return HRCAMNet(StageCNN(spatial_dims=dims, channels=(4, 6), convs=(1, 1)), 2, spatial_dims=dims)


def brain(*shape):
    image = torch.zeros(1, *shape)
    inside = tuple(slice(n // 4, n - n // 4) for n in shape)
    image[(0, *inside)] = torch.randn([s.stop - s.start for s in inside])
    return image


@pytest.mark.parametrize(("shape", "dims", "axis"), [((24, 20), 2, None), ((24, 20, 12), 2, 2), ((24, 20, 12), 3, None)])
def test_each_kind_of_network_and_image(shape, dims, axis):
    found = describe(brain(*shape), network(dims), slice_axis=axis)
    assert {name: len(v) for name, v in found.items()} == {
        "size": 1 + len(shape),
        "layout": 4 ** len(shape),
        "intensities": 8,
        "grain": len(shape),
        "features": 10,
    }
    assert all(torch.isfinite(v).all() for v in found.values())
    assert found["size"][1:].tolist() == [0.5] * len(shape)


def test_what_each_descriptor_tells():
    image, net = brain(32, 32, 16), network()
    base = describe(image, net, slice_axis=2)
    brighter = describe(image + (image > 1), net, slice_axis=2)
    smaller = image.clone()
    smaller[:, :12] = 0
    grainier = image + (image != 0) * 0.5 * torch.randn(image.shape)
    changed = {name for name in base if not torch.allclose(base[name], brighter[name])}
    assert "size" not in changed
    assert "intensities" in changed
    assert describe(smaller, net, slice_axis=2)["size"][1] < base["size"][1]
    smooth = torch.nn.functional.avg_pool3d(image[None], 3, 1, 1)[0] * (image != 0)
    assert describe(grainier, net, slice_axis=2)["grain"].shape == base["grain"].shape
    assert (describe(smooth, net, slice_axis=2)["grain"] < base["grain"]).all()


def test_empty_images_and_networks_without_features():
    empty = describe(torch.zeros(1, 24, 20, 12), network(), slice_axis=2)
    assert all(torch.isfinite(v).all() for v in empty.values())
    assert set(describe(brain(24, 20, 12), torch.nn.Identity(), slice_axis=2)) == {"size", "layout", "intensities", "grain"}

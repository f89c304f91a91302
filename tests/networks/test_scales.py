from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks.scales import across_scales


def smooth(*shape: int) -> torch.Tensor:
    grids = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(torch.cos(2 * g) for g in grids)[None, None]


@pytest.mark.parametrize("shape", [(32, 24), (16, 20, 12)])
def test_maps_that_are_the_same_at_every_scale_stay_as_they_are(shape):
    x = smooth(*shape)
    found = across_scales(3 * x, x, lambda image: 3 * image, [1.5, 2.0])
    inside = (slice(None), slice(None), *[slice(2, -2)] * len(shape))  # a resized image is flat beyond its border
    torch.testing.assert_close(found[inside], 3 * x[inside], rtol=0, atol=0.1)


def test_one_by_one_is_as_in_a_batch():
    x = torch.rand(3, 2, 16, 16)
    read = [across_scales(part, part, torch.sin, [1.5]) for part in (x, x[1:2])]
    torch.testing.assert_close(read[0][1:2], read[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_read_as_its_slices(axis):
    x = torch.rand(2, 1, 12, 14, 16)
    found = across_scales(x, x, torch.sin, [0.5, 1.5], kept=axis)
    for i in range(x.shape[axis + 2]):
        own = x.select(axis + 2, i)
        torch.testing.assert_close(found.select(axis + 2, i), across_scales(own, own, torch.sin, [0.5, 1.5]))

from __future__ import annotations

import pytest
import torch

from hrcam_monai.metrics import pixel_average_precision
from hrcam_monai.networks.edges import along_edges


def square(dims=2, size=24):
    image = torch.zeros(1, 1, *[size] * dims)
    image[(0, 0, *[slice(6, 14)] * dims)] = 1
    return image


@pytest.mark.parametrize("dims", [2, 3])
def test_a_blob_beside_takes_on_the_outline(dims):
    image = square(dims, 20)
    blob = torch.zeros_like(image)
    blob[(0, 0, *[slice(9, 17)] * dims)] = 1  # a part inside, a part beside
    moved = along_edges(blob, image + 0.01 * torch.randn_like(image), steps=20)
    before, after = (pixel_average_precision(heat, image) for heat in (blob, moved))
    assert before < 0.5
    assert after > 0.99


def test_a_constant_stays_and_values_keep_their_range():
    maps = torch.stack([torch.full((24, 24), 3.0), torch.rand(24, 24)])[None]
    moved = along_edges(maps, torch.rand(1, 1, 24, 24))
    torch.testing.assert_close(moved[0, 0], maps[0, 0])
    assert maps[0, 1].min() <= moved[0, 1].min() <= moved[0, 1].max() <= maps[0, 1].max()


def test_linear_in_the_map_and_blind_to_the_images_scale():
    a, b, image = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), torch.rand(1, 2, 16, 16)
    torch.testing.assert_close(along_edges(2 * a - b, image), 2 * along_edges(a, image) - along_edges(b, image))
    torch.testing.assert_close(along_edges(a, image), along_edges(a, 100 * image + 7), atol=1e-4, rtol=1e-3)


def test_batch_equals_one_by_one():
    maps, images = torch.rand(3, 2, 16, 12), torch.rand(3, 1, 16, 12)
    each = torch.cat([along_edges(m[None], i[None]) for m, i in zip(maps, images, strict=True)])
    torch.testing.assert_close(along_edges(maps, images), each)


def test_an_image_of_one_value_smooths():
    moved = along_edges(square(), torch.zeros(1, 1, 24, 24))
    assert torch.isfinite(moved).all()
    assert moved.max() < 1


def test_grids_must_agree():
    with pytest.raises(ValueError, match=r"maps are \(1, 1, 8, 8\), images \(1, 1, 8, 9\); they must be on one grid"):
        along_edges(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 9))


def test_edges_of_slices_beside_do_not_count():
    maps, own, beside = torch.rand(2, 1, 12, 12), torch.rand(2, 2, 12, 12), torch.rand(2, 4, 12, 12)
    assert torch.equal(along_edges(maps, torch.cat([own, beside], dim=1), beside=2), along_edges(maps, own))

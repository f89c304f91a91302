from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks.mixing import mix, patches


@pytest.mark.parametrize("shape", [(8, 48, 40), (3, 24, 20, 16)])
def test_patches_differ_and_neither_fill_nor_spare_an_image(shape):
    torch.manual_seed(0)
    drawn = torch.cat([patches(shape, 4.0) for _ in range(10)])
    assert drawn.shape[1:] == (1, *shape[1:])
    share = drawn.flatten(1).float().mean(1)
    assert share.min() > 0.05
    assert share.max() < 0.95
    assert 0.4 < share.mean() < 0.6
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == len(drawn)


def borders(mask):
    return float((mask[:, :, 1:] != mask[:, :, :-1]).float().mean())


def test_scale_is_the_size_of_the_patches():
    torch.manual_seed(0)
    fine, coarse = (sum(borders(patches((8, 64, 64), scale)) for _ in range(5)) for scale in (2.0, 8.0))
    assert fine > 2 * coarse


def test_images_and_maps_are_mixed_alike():
    torch.manual_seed(0)
    images = torch.arange(1.0, 7).view(6, 1, 1, 1).expand(6, 2, 32, 32)
    maps = (10 * images).clone().requires_grad_()
    mixed, expected = mix(images, maps, 4.0)
    assert torch.equal(10 * mixed, expected)
    assert not expected.requires_grad
    kinds = [set(m.unique().tolist()) for m in mixed]
    assert all(i + 1 in kind and len(kind) <= 2 for i, kind in enumerate(kinds))
    assert any(len(kind) == 2 for kind in kinds)


def test_one_image_is_mixed_with_itself():
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(mix(image, image, 4.0)[0], image)

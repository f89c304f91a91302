from __future__ import annotations

import pytest
import torch

from hrcam_monai.seeds.likeness import numbered, sketches


@pytest.mark.parametrize("dims", [2, 3])
def test_brightness_and_contrast_tell_nothing_and_place_does(dims):
    torch.manual_seed(0)
    image = torch.rand(1, 1, *[32] * dims)
    image[..., 4:12] += 2
    one, brighter, moved = sketches(torch.cat([image, 3 * image + 1, image.roll(16, dims=-1)]))
    assert float(one @ brighter) == pytest.approx(1, abs=1e-5)
    assert float(one @ moved) < 0.5


def test_names_are_numbered_in_order_of_first_appearance_whatever_they_are():
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert numbered([("a", 1), ("a", 0), ("a", 1)]).tolist() == [0, 1, 0]

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hrcam_monai.brain import StripBraind, WithinBraind, strip
from tests.brain.heads import item, whole_head


def test_a_whole_head_is_stripped_and_its_mask_is_kept():
    image, brain, affine = whole_head(3.0)
    made = StripBraind("image", brain_key="brain")(item(image, affine))
    mask = made["brain"][0].numpy() > 0
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.95
    np.testing.assert_array_equal(made["image"][0].numpy(), image * mask)
    np.testing.assert_array_equal(made["image"].affine, affine)
    np.testing.assert_array_equal(made["brain"].affine, affine)
    assert made["head"] == f"brain cut out, {mask.sum() * 27 / 1e6:.2f} l"


def test_a_stripped_head_is_left_alone_but_for_its_air(monkeypatch):
    image, brain, affine = whole_head(3.0)
    monkeypatch.setattr(strip, "brain_mask", None)  # not asked for
    for air in (0, -1000):
        made = StripBraind("image", brain_key="brain")(item(np.where(brain, image, air).astype(np.float32), affine))
        np.testing.assert_allclose(made["image"][0].numpy(), (image - air) * brain if air else image * brain, rtol=1e-6)
        assert "brain" not in made
        assert made["head"] == ("stripped already, air of -1000 set to 0" if air else "stripped already")
    whole = item(image, affine)
    assert StripBraind("image", strip="never")(whole) == whole
    slab = item(image[:, :, 30:50], affine)
    made = StripBraind("image", brain_key="brain")(slab)
    assert made == slab | {"head": "too thin to be stripped"}


def test_always_strips_again_and_what_fails_names_the_file():
    image, brain, affine = whole_head(3.0)
    stripped = (image * brain).astype(np.float32)
    again = StripBraind("image", strip="always")(item(stripped, affine))["image"][0].numpy()
    assert 0.9 < ((again > 0) & brain).sum() / brain.sum() <= 1
    with pytest.raises(ValueError, match=r"^head.nii.gz: shows nothing .*To go on with whole images, set strip to never\.$"):
        StripBraind("image", strip="always")(item(np.zeros_like(image), affine))
    with pytest.raises(ValueError, match="strip is 'maybe'; choose one of auto, always, never"):
        StripBraind("image", strip="maybe")


def test_maps_stay_within_the_brain():
    brain = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    brain[:, 1:3] = 1
    maps = MetaTensor(torch.rand(2, 4, 4, 4), affine=torch.eye(4))
    made = WithinBraind("map")({"map": maps, "brain": brain})["map"]
    assert torch.equal(made.as_tensor(), maps.as_tensor() * brain)
    assert WithinBraind("map")({"map": maps})["map"] is maps

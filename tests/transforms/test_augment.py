"""Folds that are drawn; sulci that are narrower, wider or dry."""

import numpy as np
import pytest
import torch

from hrcam_monai.transforms import RandFoldsd, RandSulcid


@pytest.mark.parametrize("shape", [(1, 40, 48), (2, 24, 20, 16)])
def test_folds_are_thin_and_only_in_tissue(shape):
    image = torch.zeros(shape)
    image[:, 4:-4, 4:-4] = 0.5
    folds = RandFoldsd("image", prob=1.0, dark=1.0).set_random_state(0)
    shares = []
    for _ in range(10):
        change = folds({"image": image})["image"] - image
        assert torch.equal(change != 0, (change != 0) & (image != 0))
        assert -1.6 <= change.min() < 0
        assert change.max() <= 0
        shares.append(float((change < change.min() / 2).sum() / (image != 0).sum()))
    assert 0 < np.mean(shares) < 0.2


def test_folds_repeat_with_the_seed_and_leave_some_images_alone():
    image = torch.rand(1, 32, 32) + 1
    runs = [
        [RandFoldsd("image", prob=0.5).set_random_state(seed)({"image": image})["image"] for seed in range(12)] for _ in (0, 1)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    alone = [torch.equal(out, image) for out in runs[0]]
    assert any(alone)
    assert not all(alone)


def head(dims):
    """Bright tissue with a thin dark line and a thick dark ball, in air."""
    image = torch.zeros(1, *[24] * dims)
    tissue = (slice(None), *[slice(2, 22)] * dims)
    image[tissue] = 1.0
    image[(slice(None), *[slice(4, 20)] * (dims - 1), 6)] = -2.0
    image[(slice(None), *[slice(9, 17)] * (dims - 1), slice(11, 19))] = -1.0
    return image


def first_that(changed, image, **shares):
    for seed in range(20):
        found = RandSulcid("image", **shares).set_random_state(seed)({"image": image})["image"]
        if changed(found):
            return found
    raise AssertionError("none of twenty was changed so")


@pytest.mark.parametrize("dims", [2, 3])
def test_closing_fills_what_is_thin_and_leaves_what_is_thick(dims):
    image = head(dims)
    line, ball = (0, *[6] * dims), (0, *[13] * (dims - 1), 14)
    found = first_that(lambda x: x[line] > -0.5, image, close=1.0, widen=0.0, dry=0.0)
    assert found[ball] == -1.0
    assert torch.equal(found != 0, image != 0)


@pytest.mark.parametrize("dims", [2, 3])
def test_widening_makes_thin_lines_thicker_and_moves_no_border(dims):
    image = head(dims)
    beside = (0, *[6] * (dims - 1), 7)
    found = first_that(lambda x: x[beside] < 0.9, image, close=0.0, widen=1.0, dry=0.0)
    assert torch.equal(found != 0, image != 0)


def test_without_its_fluid_a_head_has_air_there():
    image = head(2)
    found = first_that(lambda x: x[0, 6, 6] == 0, image, close=0.0, widen=0.0, dry=1.0)
    assert found[0, 6, 8] == 1.0
    assert torch.equal((found == 0) | (found == image), torch.ones_like(found, dtype=torch.bool))


def test_same_seed_same_sulci_and_an_empty_image_stays_empty():
    image = head(2)
    first, second = (RandSulcid("image").set_random_state(3)({"image": image})["image"] for _ in (0, 1))
    assert torch.equal(first, second)
    assert not RandSulcid("image")({"image": torch.zeros(1, 8, 8)})["image"].any()


def test_shares_that_cannot_be():
    with pytest.raises(ValueError, match=r"^close is 0\.8 and widen is 0\.3; together they must be at most 1\.$"):
        RandSulcid("image", close=0.8, widen=0.3)

from __future__ import annotations

import pytest
import torch

from hrcam_monai.seeds import agreement


def person(dims=2, size=32):
    """Three slices of one person, and the maps of them: what all show, and what one alone does."""
    torch.manual_seed(0)
    images = torch.rand(1, 1, *[size] * dims).repeat(3, *[1] * (dims + 1))
    maps = torch.zeros_like(images)
    maps[:, 0, 6:10, 6:10] = 0.8
    maps[1, 0, 20:24, 20:24] = 1
    return images, maps


@pytest.mark.parametrize("dims", [2, 3])
def test_what_all_slices_of_a_person_show_counts_more_than_what_one_does(dims):
    images, maps = person(dims)
    found = agreement(maps, images, ["a"] * 3)
    assert found.shape == maps.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert float(found[1, 0, 6:10, 6:10].max()) > 2 * float(found[1, 0, 20:24, 20:24].max())


def test_neither_other_people_nor_slices_that_look_unlike_tell_anything():
    images, maps = person()
    alone = torch.cat([agreement(m[None], i[None], ["a"]) for m, i in zip(maps, images, strict=True)])
    torch.testing.assert_close(agreement(maps, images, "abc"), alone)
    unlike = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(agreement(maps, unlike, "aaa"), alone)


def test_it_knows_no_order():
    images, maps = person()
    people, order = "aba", torch.tensor([2, 0, 1])
    found = agreement(maps[order], images[order], [people[i] for i in order])
    torch.testing.assert_close(found, agreement(maps, images, people)[order])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="2 maps, 2 images and 1 names of people; give as many of each."):
        agreement(torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8), ["a"])

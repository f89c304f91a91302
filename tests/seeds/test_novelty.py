from __future__ import annotations

import pytest
import torch

from hrcam_monai.seeds import novelty


def anatomy(number, dims=2, size=48):
    """Like images of as many people: one structure, a little noise."""
    torch.manual_seed(0)
    images = 0.05 * torch.randn(number, 1, *[size] * dims)
    images[:, :, 10:30, 20:40] += 1
    return images


@pytest.mark.parametrize("dims", [2, 3])
def test_what_one_person_alone_has_stands_out_and_what_all_have_does_not(dims):
    images = anatomy(6, dims, 48 if dims == 2 else 32)
    place = (slice(20, 28),) * dims
    images[2, 0][place] += 2
    found = novelty(images, "abcdef")
    assert found.shape == images.shape
    assert float(found.min()) >= 0
    peak = torch.unravel_index(found[2, 0].argmax(), found.shape[2:])
    assert all(18 <= int(p) < 30 for p in peak)
    assert float(found[2].max()) > 20 * float(found[[0, 1, 3, 4, 5]].max())


def test_no_image_is_held_against_another_of_the_same_person():
    images = anatomy(6)
    images[:2, :, 32:40, 8:16] += 2  # two images of one person, with one finding
    assert float(novelty(images, "aabcde")[0].max()) > 20 * float(novelty(images, "abcdef")[0].max())


def test_a_structure_that_lies_a_little_elsewhere_is_not_unusual():
    images = anatomy(4)
    moved = images.clone()
    moved[0] = moved[0].roll(2, dims=-1)
    far = images.clone()
    far[0] = far[0].roll(8, dims=-1)
    assert float(novelty(moved, "abcd")[0].max()) < 0.1 * float(novelty(far, "abcd")[0].max())


def test_it_knows_no_label_and_no_order():
    images = anatomy(5)
    images[1, :, 4:10, 4:10] += 1
    order = torch.tensor([3, 1, 4, 0, 2])
    people = "abcde"
    shuffled = novelty(images[order], [people[i] for i in order])
    torch.testing.assert_close(shuffled, novelty(images, people)[order])


def test_features_that_one_person_alone_has_stand_out_where_grey_values_do_not():
    images, features = anatomy(5), torch.rand(5, 4, 12, 12) * 0.1
    features[1, 2, 6, 7] = 5
    found = novelty(images, "abcde", features=features)
    assert torch.equal(novelty(images, "abcde", features=features, grey=novelty(images, "abcde")), found)
    assert found.shape == images.shape
    peak = torch.unravel_index(found[1, 0].argmax(), found.shape[2:])
    assert [int(p) // 4 for p in peak] == [6, 7]
    assert float(found[1].max()) > 5 * float(found[[0, 2, 3, 4]].max())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="what is unlike other people cannot be told from the images of one person."):
        novelty(torch.rand(2, 1, 16, 16), ["a", "a"])
    with pytest.raises(ValueError, match="2 images and 1 names of people; each image needs one."):
        novelty(torch.rand(2, 1, 16, 16), ["a"])

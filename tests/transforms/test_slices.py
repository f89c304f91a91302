"""Slices with those beside them."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd, Invertd

from hrcam_monai.transforms import NeighbourSlicesd, RandSlicesd
from hrcam_monai.transforms.bias_field import CorrectBiasFieldd
from hrcam_monai.transforms.slices import unstacked, with_neighbours


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_has_those_beside_it(axis):
    volume = torch.rand(2, 4, 5, 6)
    seen = with_neighbours(volume, [-2, 1], slice_axis=axis)
    assert seen.shape == (6, 4, 5, 6)
    assert torch.equal(seen[:2], volume)
    own, before, after = (seen[i : i + 2].movedim(axis + 1, 0) for i in (0, 2, 4))
    assert torch.equal(before[2:], own[:-2])
    assert not before[:2].any()
    assert torch.equal(after[:-1], own[1:])
    assert not after[-1:].any()


def test_a_drawn_slice_is_that_of_the_stacked_volume():
    volume = torch.rand(1, 4, 5, 6)
    item = {"image": volume, "seeds": volume, "slice_weights": torch.tensor([0.0, 0, 0, 0, 1, 0]), "label": 1}
    (drawn,) = RandSlicesd(["image", "seeds"], neighbours=[-3, 3])(item)
    assert torch.equal(drawn["image"], with_neighbours(volume, [-3, 3])[..., 4])
    assert torch.equal(drawn["seeds"], volume[..., 4])  # of the slice alone


def test_a_stacked_volume_stays_in_its_place():
    image = MetaTensor(torch.rand(1, 4, 5, 6), meta={"note": "kept"})
    steps = Compose([Flipd("image", 0), NeighbourSlicesd("image", neighbours=[1])])
    stacked = steps({"image": image})
    assert stacked["image"].shape[0] == 2
    assert stacked["image"].meta["note"] == "kept"
    found = Invertd("map", steps, orig_keys="image")(stacked | {"map": stacked["image"][:1].clone()})["map"]
    assert torch.equal(found.as_tensor(), image.as_tensor())


def test_without_neighbours_an_image_stays_as_it_is():
    image = torch.rand(1, 4, 5)
    assert NeighbourSlicesd("image", slice_axis=None)({"image": image})["image"] is image


def test_neighbours_that_cannot_be():
    with pytest.raises(
        ValueError, match=r"^neighbours is \[1\], but without a slice_axis there are no slices; set one, or \[\]\.$"
    ):
        NeighbourSlicesd("image", neighbours=[1], slice_axis=None)
    with pytest.raises(ValueError, match=r"^neighbours is \[0, 1\]; 0 is the slice itself, leave it out\.$"):
        NeighbourSlicesd("image", neighbours=[0, 1])


def test_training_takes_every_step_but_the_stacking_wherever_it_stands():
    first, last = Flipd("image", 0), Flipd("image", 1)
    assert unstacked(Compose([first, NeighbourSlicesd("image", neighbours=[1]), last])) == [first, last]
    assert unstacked(Compose([first, last])) == [first, last]


def test_training_on_drawn_fields_leaves_them():
    field, stack = CorrectBiasFieldd("image", method="n4"), NeighbourSlicesd("image", neighbours=[1])
    assert unstacked(Compose([field, stack])) == [field]
    assert unstacked(Compose([field, stack]), leave_fields=True) == []

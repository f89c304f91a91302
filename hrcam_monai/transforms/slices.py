"""What a network that sees slices is shown of a volume: slices drawn by how much each weighs, and those beside them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Randomizable, Transform
from torch import Tensor

from hrcam_monai.transforms.bias_field import CorrectBiasFieldd

__all__ = ["NeighbourSlicesd", "RandSlicesd", "SliceWeightsd", "slice_weights", "unstacked", "with_neighbours"]


def _slice_and_neighbours(volume: Tensor, index: int, neighbours: Sequence[int], slice_axis: int) -> Tensor:
    """One slice of a volume [C, X, Y, Z], and those so many slices from it, as channels: [C * (1 + neighbours), *]."""
    slices, own = volume.movedim(slice_axis + 1, 0), []
    for at in (index, *(index + offset for offset in neighbours)):
        own.append(slices[at] if 0 <= at < len(slices) else torch.zeros_like(slices[index]))
    return torch.cat(own)


def with_neighbours(volume: Tensor, neighbours: Sequence[int], *, slice_axis: int = 2) -> Tensor:
    """A volume whose slices have those beside them as further channels.

    From slice to slice a sheet of cortex moves on and a lesion stays, so that a network of slices can tell them apart.

    Args:
        volume: [C, X, Y, Z].
        neighbours: how many slices on each of them lies; beyond the ends is air.
        slice_axis: spatial axis that slices are cut along.

    Returns:
        [C * (1 + neighbours), X, Y, Z], each slice's own channels first.

    Example:
        >>> with_neighbours(torch.arange(3.0).view(1, 1, 1, 3), [-1, 1]).squeeze()
        tensor([[0., 1., 2.],
                [0., 0., 1.],
                [1., 2., 0.]])
    """
    slices = [_slice_and_neighbours(volume, i, neighbours, slice_axis) for i in range(volume.shape[slice_axis + 1])]
    return torch.stack(slices, dim=slice_axis + 1)


class NeighbourSlicesd(MapTransform):
    """Give each slice of a volume those beside it as further channels (`with_neighbours`); put it last of the preprocessing.

    Args:
        keys: volumes [C, X, Y, Z].
        neighbours: how many slices on each of them lies; none leaves volumes, and images without slices, as they are.
        slice_axis: spatial axis that slices are cut along.

    Raises:
        ValueError: neighbours of images that have no slices, or a slice that is its own neighbour.

    Example:
        >>> NeighbourSlicesd("image", neighbours=[-2, 2])({"image": torch.rand(1, 8, 8, 5)})["image"].shape
        torch.Size([3, 8, 8, 5])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        neighbours: Sequence[int] = (),
        slice_axis: int | None = 2,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if neighbours and slice_axis is None:
            raise ValueError(f"neighbours is {list(neighbours)}, but without a slice_axis there are no slices; set one, or [].")
        if 0 in neighbours:
            raise ValueError(f"neighbours is {list(neighbours)}; 0 is the slice itself, leave it out.")
        self.neighbours, self.slice_axis = list(neighbours), slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.slice_axis is None or not self.neighbours:
            return d
        for key in self.key_iterator(d):
            volume = d[key]
            d[key] = with_neighbours(torch.as_tensor(volume).as_subclass(Tensor), self.neighbours, slice_axis=self.slice_axis)
            if isinstance(volume, MetaTensor):
                d[key] = MetaTensor(d[key], meta=volume.meta, applied_operations=volume.applied_operations)
        return d


def unstacked(preprocessing: Compose, *, leave_fields: bool = False) -> list[Any]:
    """The steps of a preprocessing but for `NeighbourSlicesd`: training keeps volumes, and stacks what it draws of them.

    Args:
        preprocessing: of evaluation.
        leave_fields: without `CorrectBiasFieldd`, too: simulated heads have fields that were drawn, for training to see.

    Example:
        >>> unstacked(Compose([NeighbourSlicesd("image", neighbours=[1])]))
        []
    """
    left_out = (NeighbourSlicesd, CorrectBiasFieldd) if leave_fields else (NeighbourSlicesd,)
    return [step for step in preprocessing.transforms if not isinstance(step, left_out)]


def slice_weights(image: MetaTensor, *, ranges: Sequence[Sequence[int]] | None = None, slice_axis: int = 2) -> Tensor:
    """How much each slice of a preprocessed volume weighs when slices are drawn: its tissue, if it carries the label.

    Args:
        image: [C, X, Y, Z] on the network's grid, 0 in air, with its affine and the file's `original_affine`.
        ranges: [[first, last], ...] voxel indices, along the file's axis nearest to superior-inferior, of the slices
            that carry the label; None for all.
        slice_axis: spatial axis to slice along.

    Returns:
        [slices] non-negative; all tissue counts when no listed slice is left on the grid.
    """
    others = tuple(a for a in range(image.ndim) if a != slice_axis + 1)
    area = (image.as_tensor() != 0).float().sum(others)
    if not ranges:
        return area
    file_affine = np.asarray(image.meta["original_affine"], dtype=float)
    axis = int(np.argmax(nib.io_orientation(file_affine)[:, 0] == 2))
    centre = (np.array(image.shape[1:]) - 1) / 2.0
    points = np.repeat(centre[None], image.shape[slice_axis + 1], 0)
    points[:, slice_axis] = np.arange(image.shape[slice_axis + 1])
    to_file = np.linalg.inv(file_affine) @ np.asarray(image.affine, dtype=float)
    index = (points @ to_file[:3, :3].T + to_file[:3, 3])[:, axis].round()
    listed = np.any([(index >= first) & (index <= last) for first, last in ranges], axis=0)
    weights = area * torch.from_numpy(listed)
    return weights if bool(weights.sum() > 0) else area


class SliceWeightsd(Transform):
    """Set `slice_weights` of a volume from the manifest's `slices`; put it after the preprocessing.

    Args:
        image_key: the preprocessed image.
        slice_axis: spatial axis to slice along.
    """

    def __init__(self, image_key: str = "image", *, slice_axis: int = 2) -> None:
        self.image_key = image_key
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        d["slice_weights"] = slice_weights(d[self.image_key], ranges=d.pop("slices", None), slice_axis=self.slice_axis)
        return d


class RandSlicesd(Randomizable, MapTransform):
    """Draw slices of a volume at random: [C, X, Y, Z] gives a list of items with [C, X, Y], each with the label.

    Slices are drawn in proportion to `slice_weights` (see `SliceWeightsd`), so that slices of normal and abnormal
    subjects are equally likely to be large or small.

    Args:
        keys: volumes to slice.
        num_samples: slices drawn of each volume.
        slice_axis: spatial axis to slice along.
        neighbours: of each slice of the image, as `with_neighbours` gives them.
        image_key: of what neighbours are added to; other volumes, such as seeds, are of the slice alone.
        allow_missing_keys: skip entries that are not there (seeds).
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        num_samples: int = 1,
        slice_axis: int = 2,
        neighbours: Sequence[int] = (),
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_samples = num_samples
        self.slice_axis = slice_axis
        self.neighbours = list(neighbours)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        weights = np.asarray(data["slice_weights"], dtype=float)
        drawn = self.R.choice(len(weights), size=self.num_samples, p=weights / weights.sum())
        kept: dict[Hashable, Any] = {k: v for k, v in data.items() if k in ("label", "subject")}
        items: list[dict[Hashable, Any]] = []
        for index in drawn:
            item = dict(kept)
            for key in self.key_iterator(dict(data)):
                volume, beside = torch.as_tensor(data[key]).as_subclass(Tensor), self.neighbours if key == self.image_key else ()
                item[key] = _slice_and_neighbours(volume, int(index), beside, self.slice_axis)
            items.append(item)
        return items

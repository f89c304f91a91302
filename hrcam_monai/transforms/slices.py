"""Draw slices of a volume by how much each of them weighs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable, Transform

__all__ = ["RandSlicesd", "SliceWeightsd", "slice_weights"]


def slice_weights(image: MetaTensor, *, ranges: Sequence[Sequence[int]] | None = None, slice_axis: int = 2) -> torch.Tensor:
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
        allow_missing_keys: skip entries that are not there (seeds).
    """

    def __init__(
        self, keys: KeysCollection, *, num_samples: int = 1, slice_axis: int = 2, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_samples = num_samples
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        weights = np.asarray(data["slice_weights"], dtype=float)
        drawn = self.R.choice(len(weights), size=self.num_samples, p=weights / weights.sum())
        kept: dict[Hashable, Any] = {k: v for k, v in data.items() if k in ("label", "subject")}
        items: list[dict[Hashable, Any]] = []
        for index in drawn:
            item = dict(kept)
            for key in self.key_iterator(dict(data)):
                item[key] = torch.as_tensor(data[key]).as_subclass(torch.Tensor).select(self.slice_axis + 1, int(index)).clone()
            items.append(item)
        return items

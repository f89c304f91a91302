"""A dictionary transform that brings slices to one size where nothing says how large a voxel is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize
from monai.utils import ensure_tuple_rep

__all__ = ["FitInPlaned"]


class FitInPlaned(MapTransform, InvertibleTransform):
    """Resample slices so that their longer side has `size` voxels; aspect and number of slices stay.

    For pictures, which do not tell how large a pixel is, where `Spacingd` asks for millimetres.

    Args:
        keys: volumes [C, X, Y, Z].
        size: voxels of the longer of the first two axes.
        mode: interpolation of each key, as `monai.transforms.Resize` has it.
        allow_missing_keys: skip entries that are not there (a mask).

    Example:
        >>> FitInPlaned("image", 96)({"image": MetaTensor(torch.rand(1, 512, 256, 1))})["image"].shape
        torch.Size([1, 96, 48, 1])
    """

    def __init__(
        self, keys: KeysCollection, size: int, mode: str | Sequence[str] = "area", allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.size = size
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resize = Resize(-1)  # only its inverse is used, which goes by what the image has kept

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            width, height, slices = d[key].shape[1:]
            share = self.size / max(width, height)
            sides = [max(round(width * share), 1), max(round(height * share), 1), slices]
            d[key] = Resize(sides, mode=mode)(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Back to the sides that they had."""
        d = dict(data)
        for key in self.key_iterator(d):
            traced = self.resize.pop_transform(d[key], check=False)  # by a Resize of its own for each size
            d[key] = self.resize.inverse_transform(d[key], traced)
        return d

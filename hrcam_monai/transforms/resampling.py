"""A dictionary transform that brings single slices to one size, in their own plane."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Orientation, Resize
from monai.utils import ensure_tuple_rep
from nibabel.orientations import aff2axcodes
from torch import Tensor

__all__ = ["FitInPlaned"]

PLANES = ("ASR", "RSA", "RAS")  # of a slice across the first, second or third axis: two axes of a picture, and across it


class FitInPlaned(MapTransform, InvertibleTransform):
    """Resample single slices so that their longer side has `size` voxels; the aspect stays.

    For pictures, which do not tell how large a pixel is, where `Spacingd` asks for millimetres. A sagittal or coronal slice of a
    scan is laid as a picture of it would lie.

    Args:
        keys: volumes of one slice [C, X, Y, 1], [C, 1, Y, Z] or [C, X, 1, Z], RAS+.
        size: voxels of the longer side.
        mode: interpolation of each key, as `monai.transforms.Resize` has it.
        allow_missing_keys: skip entries that are not there (a mask).

    Raises:
        ValueError: more than one slice.

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
            shape = tuple(d[key].shape[1:])
            if 1 not in shape:
                raise ValueError(
                    f"{d.get('file', key)}: is a volume of {' x '.join(map(str, shape))}, and its network reads single slices; "
                    "save the slice to read in a file of its own."
                )
            across = 2 if shape[2] == 1 else shape.index(1)
            slice_ = Orientation(axcodes=PLANES[across], labels=None)(d[key])
            width, height = slice_.shape[1:3]
            share = self.size / max(width, height)
            d[key] = Resize([max(round(width * share), 1), max(round(height * share), 1), 1], mode=mode)(slice_)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Back to the sides and axes that they had."""
        d = dict(data)
        for key in self.key_iterator(d):
            traced = self.resize.pop_transform(d[key], check=False)  # by a Resize of its own for each size
            d[key] = _laid_back(self.resize.inverse_transform(d[key], traced))
        return d


def _laid_back(x: Tensor) -> Tensor:
    """The axes that a slice had before its last `Orientation`, whichever made it."""
    laid = Orientation(axcodes="RAS", labels=None).pop_transform(x, check=False)
    back = Orientation(axcodes="".join(aff2axcodes(laid["extra_info"]["original_affine"])), labels=None)
    with back.trace_transform(False):
        return back(x)

"""A dictionary transform that brings maps back to the grid of their scan in half the memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Invertd
from monai.utils import TraceKeys

__all__ = ["InvertInSinglePrecisiond"]


class InvertInSinglePrecisiond(Invertd):
    """`Invertd`, which resamples in single precision: a head of 0.5 mm has 10^8 voxels, and each has four coordinates.

    A coordinate is then right to 10^-4 of a voxel.

    Args:
        args, kwargs: of `Invertd`.

    Example:
        >>> InvertInSinglePrecisiond("map", preprocessing, orig_keys="image", nearest_interp=False)  # doctest: +SKIP
    """

    def __call__(self, data: Any) -> dict[Hashable, Any]:
        images = {key: data[key] for key in self.orig_keys if isinstance(data.get(key), MetaTensor)}
        out = super().__call__({**data, **{key: _in_single_precision(image) for key, image in images.items()}})
        return out | {key: image for key, image in images.items() if key not in self.keys}


def _in_single_precision(image: MetaTensor) -> MetaTensor:
    """The same image, whose resampling will be undone in single precision."""
    operations = [_changed(dict(operation)) for operation in image.applied_operations]
    return MetaTensor(image.as_tensor(), meta=dict(image.meta), applied_operations=operations)


def _changed(operation: dict[Any, Any]) -> dict[Any, Any]:
    info: Mapping[Any, Any] = operation.get(TraceKeys.EXTRA_INFO) or {}
    if "dtype" in info:
        operation[TraceKeys.EXTRA_INFO] = {**info, "dtype": "float32"}
    return operation

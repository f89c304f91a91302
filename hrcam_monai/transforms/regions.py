"""Labelled regions of a scan, as slabs of neuromelanin MRI have them: values in them, transforms by them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, Cropd, MapTransform
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike

from hrcam_monai.data.manifest import LEFT, RIGHT
from hrcam_monai.data.reading import read_scan
from hrcam_monai.metrics.laterality import laterality_index, same_side

__all__ = ["ContrastRatiod", "CropAboutd", "nigral_laterality", "region_values", "side_scores"]


def _region_points(path: str, label: int | None = None) -> np.ndarray:
    """World coordinates (RAS+, mm) of a region's voxels, [N, 3].

    Args:
        path: image of integer labels, on any grid.
        label: of the region; None for all above 0.
    """
    regions = read_scan(path, blank=True)
    values = regions.as_tensor()[0].numpy().round()
    return apply_affine(np.asarray(regions.affine, dtype=float), np.argwhere(values > 0 if label is None else values == label))


def _voxels_at(image: MetaTensor, points: np.ndarray) -> np.ndarray:
    """Nearest voxels [N, 3] of an image [C, X, Y, Z] to world points [N, 3]; they may lie outside."""
    return apply_affine(np.linalg.inv(np.asarray(image.affine, dtype=float)), points).round().astype(int)


def region_values(image: MetaTensor, path: str, label: int) -> np.ndarray:
    """Values [N] of an image [1, X, Y, Z] in a region; what of it lies outside the image is left out.

    Args:
        image: with its affine.
        path: image of integer labels, on any grid.
        label: of the region.
    """
    index = _voxels_at(image, _region_points(path, label))
    index = index[((index >= 0) & (index < np.array(image.shape[1:]))).all(1)]
    return torch.as_tensor(image[0]).as_subclass(torch.Tensor).numpy()[tuple(index.T)]


def nigral_laterality(heat: MetaTensor, path: str) -> float:
    """The laterality index of a map [1, X, Y, Z], left against right substantia nigra of the subject's `regions`.

    Example:
        >>> nigral_laterality(read_scan("eval/maps/sub-01_map.nii.gz"), item["regions"])  # doctest: +SKIP
        -0.31
    """
    return laterality_index(*(region_values(heat, path, side) for side in (LEFT, RIGHT)))


def side_scores(heat: ArrayLike, mask: ArrayLike, image: MetaTensor, path: str) -> dict[str, float]:
    """`laterality` of a map [X, Y, Z], and whether it names the `same_side` as the mask, in the regions of one subject.

    Both are on the image's grid.
    """
    values = (torch.as_tensor(np.asarray(v, dtype=np.float32))[None] for v in (heat, mask))
    found, true = (nigral_laterality(MetaTensor(v, affine=image.affine), path) for v in values)
    return {"laterality": found, "same_side": same_side(found, true)}


class CropAboutd(Cropd):
    """Crop about a place: that which the item names, else the middle of its regions, else the middle of the image.

    A side of the image that is shorter than the crop stays as it is; a crop that would leave the image is moved into it.

    Args:
        keys: images on one grid; those that are not there are skipped.
        roi_size: voxels.
        image_key: the image whose place in the world counts.
        centre_key: entry with the place, three world coordinates (RAS+, mm).
        regions_key: entry with the path of the regions.

    Raises:
        ValueError: a place that is not three numbers, or that lies outside the image.
    """

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int],
        image_key: str = "image",
        centre_key: str = "roi",
        regions_key: str = "regions",
    ) -> None:
        super().__init__(keys, Crop(), allow_missing_keys=True)
        self.roi_size = roi_size
        self.image_key = image_key
        self.centre_key = centre_key
        self.regions_key = regions_key

    def middle(self, data: Mapping[Hashable, Any]) -> np.ndarray:
        """The voxel [3] to crop about."""
        image = data[self.image_key]
        shape = np.array(image.shape[1:])
        named, regions = data.get(self.centre_key), data.get(self.regions_key)
        points = np.empty((0, 3))
        if named is not None:
            points = np.asarray(named, dtype=float).reshape(1, -1)
            if points.shape != (1, 3) or not np.isfinite(points).all():
                raise ValueError(f"{self.centre_key} is {named}; it must be three world coordinates (RAS+, mm).")
        elif regions is not None:
            points = _region_points(regions)
        if not len(points):
            return shape // 2
        middle = _voxels_at(image, points.mean(0, keepdims=True))[0]
        if (middle < 0).any() or (middle >= shape).any():
            what = self.centre_key if named is not None else self.regions_key
            raise ValueError(
                f"{what} lies outside the image (voxel {middle.tolist()} of {shape.tolist()}); correct the manifest."
            )
        return middle

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        d = dict(data)
        shape, size = np.array(d[self.image_key].shape[1:]), np.array(self.roi_size)
        start = np.clip(self.middle(d) - size // 2, 0, np.maximum(shape - size, 0))
        end = np.minimum(start + size, shape)
        slices = tuple(slice(int(a), int(b)) for a, b in zip(start, end, strict=True))
        for key in self.key_iterator(d):
            d[key] = self.cropper(d[key], slices, lazy=lazy)
        return d


class ContrastRatiod(MapTransform):
    """Intensities as contrast to a reference region, (I - reference) / reference, times a scale; robust z-scores without one.

    Voxels of 0 are air and stay 0. The reference is the region's median. A robust z-score is (I - median) / (1.4826 x median
    absolute deviation) over the voxels that are not air. Give all images of a study regions or none: the two differ.

    Source: the contrast of neuromelanin MRI to the crus cerebri; Cassidy et al., PNAS 2019, doi 10.1073/pnas.1807983116.

    Args:
        keys: images [C, X, Y, Z] with their affine.
        reference: label of the reference region.
        scale: contrasts of neuromelanin are a few tenths; times 10 they are of the size that networks are fed with.
        regions_key: entry with the path of the regions.

    Raises:
        ValueError: the reference region is empty, not on the image, or not bright.
    """

    def __init__(self, keys: KeysCollection, reference: int = 1, scale: float = 10.0, regions_key: str = "regions") -> None:
        super().__init__(keys)
        self.reference = reference
        self.scale = scale
        self.regions_key = regions_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            tissue = image.as_tensor() != 0
            path = d.get(self.regions_key)
            if path is None:
                values = image.as_tensor()[tissue]
                middle = values.median()
                spread = 1.4826 * (values - middle).abs().median()
                d[key] = torch.where(tissue, (image - middle) / spread.clamp(min=1e-6), 0.0)
            else:
                level = self.level(image, path)
                d[key] = torch.where(tissue, (image / level - 1) * self.scale, 0.0)
        return d

    def level(self, image: MetaTensor, path: str) -> float:
        """Median intensity of the reference region."""
        values = region_values(image, path, self.reference)
        level = float(np.median(values)) if len(values) else 0.0
        if level <= 0:
            raise ValueError(f"{path}: label {self.reference}, the reference of contrast, is empty or dark; correct the regions.")
        return level

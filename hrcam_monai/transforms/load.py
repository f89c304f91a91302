"""Read scans and masks into a dictionary, and tell tissue from air."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform

from hrcam_monai.data.pictures import black_and_white, is_picture
from hrcam_monai.data.reading import read_nifti, read_scan
from hrcam_monai.data.unusual import UNUSUAL, unusual

__all__ = ["LoadMaskd", "LoadScand", "is_tissue", "split_reading"]


def is_tissue(image: torch.Tensor) -> torch.Tensor:
    """Voxels that are not air: not 0 in a skull-stripped image, also where intensities are negative."""
    return image != 0


class LoadScand(MapTransform):
    """Read volumes with `read_scan`: MONAI's LoadImage, with one clear error for each thing that can be wrong.

    The path stays in `file`; in the metadata the subject takes its place, so that outputs are named by subject. What is unusual
    about a scan that can be used all the same is told in `unusual`.

    Args:
        keys: entries that hold a path.
        channels: channels expected.
        allow_missing_keys: skip entries that are not there (a mask).
    """

    def __init__(self, keys: KeysCollection, *, channels: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d["file"] = str(d[key])
            d[key] = read_scan(d[key], channels=self.channels)
            d[UNUSUAL] = unusual(d[key])
            # savers name files by it; not .nii, or MONAI 1.6's Spacingd takes the `image_path` of MONAI Label for metadata
            d[key].meta["filename_or_obj"] = f"{d.get('subject', 'scan')}.scan"
        return d


class LoadMaskd(MapTransform):
    """Read lesion masks as 0/1 volumes [1, X, Y, Z]; where masks are asked for, a subject without one gets an empty one.

    Masks are asked for by the key: its path, or None for a subject without a mask. Training and inference have no such key, so
    that one preprocessing serves them and evaluation.

    Args:
        keys: entries that hold the path of a mask.
        image_key: the image, read already.

    Raises:
        ValueError: image and mask differ in shape or affine, or a mask's values are not labels.
    """

    def __init__(self, keys: KeysCollection = "mask", *, image_key: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        for key in self.key_iterator(d):
            if d[key] is None:
                d[key] = MetaTensor(torch.zeros_like(image.as_tensor()), meta=dict(image.meta))
                continue
            volume = read_nifti(d[key], blank=True)
            if volume.shape[:3] != tuple(image.shape[1:]):
                raise ValueError(f"{d[key]}: mask is {volume.shape}, its image {tuple(image.shape[1:])}; use the image's grid.")
            if not np.allclose(volume.affine, np.asarray(image.affine), atol=1e-2):
                raise ValueError(f"{d[key]}: mask lies elsewhere than its image; resample it to the image's grid.")
            values = np.asarray(volume.dataobj).reshape(image.shape[1:])
            try:
                mask = black_and_white(values) if is_picture(d[key]) else _labelled(values)
            except ValueError as error:
                raise ValueError(f"{d[key]}: {error}") from None
            d[key] = MetaTensor(torch.from_numpy(mask)[None], meta=dict(image.meta))
        return d


def _labelled(values: np.ndarray) -> np.ndarray:
    """1 where a volume holds a label; one with soft edges, as resampling makes them, says not where it ends."""
    if not (values == np.round(values)).all():
        raise ValueError("is no mask: its values are not whole numbers; round or threshold it.")
    return (values > 0).astype(np.float32)


def split_reading(preprocessing: Compose) -> tuple[LoadScand, Compose]:
    """What reads a scan, and what comes after all reading, for scans that are read already.

    Example:
        >>> load, steps = split_reading(Compose([LoadScand("image"), LoadMaskd()]))
        >>> len(steps.transforms)
        0
    """
    steps = list(preprocessing.transforms)
    readers = [i for i, step in enumerate(steps) if isinstance(step, LoadScand | LoadMaskd)]
    load: LoadScand = next(step for step in steps if isinstance(step, LoadScand))
    return load, Compose(steps[readers[-1] + 1 :])

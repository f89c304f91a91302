"""The receive field of a scanner, taken out of what a network is shown as `prepare` takes it out of scans."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from hrcam_monai.brain.strip import HEAD
from hrcam_monai.data.itk_images import from_array, to_array
from hrcam_monai.prepare.bias_field import correct_bias

__all__ = ["METHODS", "CorrectBiasFieldd"]

logger = logging.getLogger(__name__)
METHODS = ("n4",)
GRID_MM = 4.0  # of the shrunken image that the field is fitted on: that of a 1 mm scan in `prepare`
NEGATIVE = 0.05  # share of the voxels: so many may be, as interpolation and noise make them
LEFT = "bias field left: it has negative intensities"


class CorrectBiasFieldd(MapTransform):
    """Correct the bias field of stripped heads by N4; put it after what lays them on the network's grid, before normalization.

    A network that was trained on scans as `prepare` hands them on takes the middle of a head, which a receive field makes bright,
    for something else. An image with many negative intensities (normalised already) is left as it is, for N4 works on logarithms:
    that is told on the console, and in `head` where there is one. The field is fitted where intensities are above 0.

    Args:
        keys: of volumes [C, X, Y, Z], 0 outside the brain.
        method: "n4", or None, which leaves every image as it is.

    Raises:
        ValueError: no such method; or an image is no volume.

    Source: Tustison et al., N4ITK: improved N3 bias correction, IEEE TMI 2010; by ITK.

    Example:
        >>> CorrectBiasFieldd("image", method="n4")({"image": head})["image"]  # doctest: +SKIP
    """

    def __init__(self, keys: KeysCollection, *, method: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if method not in (None, *METHODS):
            raise ValueError(f"bias_correction is '{method}'; choose one of {', '.join(METHODS)}, or null.")
        self.method = method

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.method is None:
            return d
        for key in self.key_iterator(d):
            image = d[key]
            if image.ndim != 4:
                raise ValueError(f"bias_correction is {self.method}, but images are not volumes; set it to null.")
            if float((image < 0).sum()) > NEGATIVE * float((image != 0).sum()):
                logger.warning(f"{d.get('file', key)}: {LEFT} (normalised already?); give the scan as it was taken.")
                if HEAD in d:
                    d[HEAD] = f"{d[HEAD]}, {LEFT}"
                continue
            affine = np.diag([*np.linalg.norm(np.asarray(image.affine, dtype=float)[:3, :3], axis=0), 1.0])
            even = np.stack([_corrected(channel, affine) for channel in image.cpu().numpy()])
            d[key] = MetaTensor(torch.from_numpy(even).to(image), meta=image.meta, applied_operations=image.applied_operations)
        return d


def _corrected(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """One volume [X, Y, Z] over its field; what is air, or the same everywhere, has none."""
    tissue = values > 0
    if not tissue.any() or np.ptp(values[tissue]) == 0:
        return values
    shrink = max(1, round(GRID_MM / affine.diagonal()[:3].min()))
    even = to_array(correct_bias(from_array(values, affine), from_array(tissue.astype(np.uint8), affine), shrink=shrink))[0]
    return np.ascontiguousarray(even, dtype=values.dtype)

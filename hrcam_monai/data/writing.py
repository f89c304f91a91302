"""Volumes, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from hrcam_monai.utils.files import atomic_write

__all__ = ["write_volume"]


def write_volume(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """A NIfTI file of a volume [X, Y, Z] and its RAS+ affine (mm); nothing else of a header is kept."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    with atomic_write(path) as partial:
        nib.save(image, partial)

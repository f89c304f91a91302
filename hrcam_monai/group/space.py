"""The space that maps of several people are laid over one another in: the ICBM152 template that `prepare` registers to."""

from __future__ import annotations

from functools import cache
from typing import Any

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from nilearn.image import resample_to_img

SEEN = 0.6  # least share of the scan's tissue in the template's brain, or of the brain in the tissue


class NotAligned(ValueError):
    """A scan that does not lie where the template does."""


@cache
def template(spacing: int) -> tuple[Any, np.ndarray]:
    """nilearn's ICBM152 T1 at a voxel size in whole mm, as a NIfTI image, and its brain mask [X, Y, Z]."""
    return load_mni152_template(resolution=spacing), np.asarray(load_mni152_brain_mask(resolution=spacing).dataobj) > 0


def on_template(image: Any, spacing: int) -> np.ndarray:
    """An image [X, Y, Z] of any grid interpolated to the template's; NaN outside the image.

    Args:
        image: NIfTI image whose world is the template's.
        spacing: of the template's grid, whole mm.
    """
    data = np.asarray(image.dataobj, dtype=np.float32)
    # nilearn fills the outside with one value, which interpolation would mix in at the border: so the field of view too
    field = nib.Nifti1Image(np.ones(data.shape, np.float32), image.affine)
    grid = template(spacing)[0]
    options: dict[str, Any] = {"interpolation": "linear", "fill_value": 0.0, "copy_header": True, "force_resample": True}
    values, seen = (resample_to_img(i, grid, **options).get_fdata(dtype=np.float32) for i in (image, field))
    return np.where(seen > 0.5, values / np.maximum(seen, 0.5), np.nan)


def check_alignment(scan: np.ndarray, spacing: int) -> None:
    """See that a scan [X, Y, Z] on the template's grid lies over the template's brain; a gross check.

    Raises:
        NotAligned: neither most of its tissue is in the template's brain nor most of the brain in its tissue.
    """
    tissue, brain = np.nan_to_num(scan) != 0, template(spacing)[1]
    both = int((tissue & brain).sum())
    if both < SEEN * min(int(tissue.sum()), int(brain.sum())) or not both:
        raise NotAligned(
            f"only {both / max(int(tissue.sum()), 1):.0%} of its tissue lies in the template's brain; "
            "register the scans with `prepare --register`, and make the maps of what it writes."
        )

"""The space that maps of several people are laid over one another in: the ICBM152 template that `prepare` registers to."""

from __future__ import annotations

from functools import cache
from typing import Any

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from nilearn.image import resample_to_img

from hrcam_monai.data.sidecar import read_sidecar

__all__ = ["NotAlignedError", "check_alignment", "on_template", "scan_to_template", "template"]

SEEN = 0.6  # least share of the scan's tissue in the template's brain, or of the brain in the tissue


class NotAlignedError(ValueError):
    """A scan that does not lie where the template does."""


@cache
def template(spacing: int) -> tuple[Any, np.ndarray]:
    """The ICBM152 T1 of nilearn at a voxel size in whole mm, as a NIfTI image, and its brain mask [X, Y, Z]."""
    return load_mni152_template(resolution=spacing), np.asarray(load_mni152_brain_mask(resolution=spacing).dataobj) > 0


def on_template(image: Any, spacing: int, way: np.ndarray | None = None) -> np.ndarray:
    """An image [X, Y, Z] of any grid interpolated to the template's; NaN outside the image.

    Args:
        image: NIfTI image.
        spacing: of the template's grid, whole mm.
        way: from its world to the template's; by default they are the same.
    """
    data = np.asarray(image.dataobj, dtype=np.float32)
    affine = image.affine if way is None else way @ image.affine
    # nilearn fills the outside with one value, which interpolation would mix in at the border: so the field of view too
    volumes = [nib.Nifti1Image(d, affine) for d in (data, np.ones(data.shape, np.float32))]
    grid = template(spacing)[0]
    options: dict[str, Any] = {"interpolation": "linear", "fill_value": 0.0, "copy_header": True, "force_resample": True}
    values, seen = (resample_to_img(i, grid, **options).get_fdata(dtype=np.float32) for i in volumes)
    return np.where(seen > 0.5, values / np.maximum(seen, 0.5), np.nan)


def scan_to_template(file: str) -> np.ndarray | None:
    """The matrix [4, 4] from the world of a scan to that of the template (RAS+, mm), as `prepare --roi` found it.

    Args:
        file: the scan; its sidecar lies beside it.

    Returns:
        None where there is no such sidecar, or where the scan itself was put onto the template.
    """
    record = read_sidecar(file)
    if record.get("template_to_scan") is None or record["steps"]["register"] != "none":
        return None
    return np.linalg.inv(record["template_to_scan"])


def check_alignment(scan: np.ndarray, spacing: int) -> None:
    """See that a scan [X, Y, Z] on the template's grid lies over the template's brain; a gross check.

    Raises:
        NotAlignedError: neither most of its tissue is in the template's brain nor most of the brain in its tissue.
    """
    tissue, brain = np.nan_to_num(scan) != 0, template(spacing)[1]
    both = int((tissue & brain).sum())
    if both < SEEN * min(int(tissue.sum()), int(brain.sum())) or not both:
        raise NotAlignedError(
            f"only {both / max(int(tissue.sum()), 1):.0%} of its tissue lies in the template's brain; "
            "register the scans with `prepare --register` or `--roi`, and make the maps of what it writes."
        )

"""Which slices show a thing: what a 2-D network should learn a subject's label from."""

from __future__ import annotations

import nibabel as nib
import numpy as np

__all__ = ["visible_slices", "well_shown"]

VISIBLE = 0.4  # a slice is listed as showing a thing from this share of its largest cross-section on


def well_shown(mask: np.ndarray, axis: int) -> np.ndarray:
    """Whether each slice along an axis shows a mask well: bool [slices].

    Example:
        >>> well_shown(np.eye(3)[None], 2)
        array([ True,  True,  True])
    """
    area = mask.sum(tuple(a for a in range(3) if a != axis))
    return (area > 0) & (area >= VISIBLE * area.max())


def visible_slices(mask: np.ndarray, affine: np.ndarray) -> list[list[int]]:
    """Ranges [first, last] of the axial slices that show the mask well: `VISIBLE` of its largest cross-section or more.

    Axial is the voxel axis nearest to the superior-inferior direction, whatever the file's orientation.
    """
    shown = well_shown(mask, int(np.argmax(nib.io_orientation(affine)[:, 0] == 2)))
    steps = np.diff(np.concatenate([[0], shown.astype(int), [0]]))
    return [[int(a), int(b) - 1] for a, b in zip(np.where(steps == 1)[0], np.where(steps == -1)[0], strict=True)]

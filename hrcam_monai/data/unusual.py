"""What is unusual about a scan that is read all the same: told by subject, for its map may have to be seen in that light."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

__all__ = ["UNUSUAL", "unusual"]

UNUSUAL = "unusual"  # key of an item, and column of predictions.csv; of a scan's metadata, what its reader has met
THICK = 3.0  # times the other sides, from which on what lies between slices is mostly made up by interpolation
SQUARE = 1.2  # of two sides of a pixel
TILTED_DEGREES = 20.0


def unusual(image: MetaTensor) -> str:
    """What is unusual about a scan as it was read, in words; "" if nothing is.

    Args:
        image: [C, X, Y, Z] with its affine (RAS+ world, mm), of `read_scan`.

    Example:
        >>> unusual(MetaTensor(torch.zeros(1, 9, 9, 9), affine=torch.diag(torch.tensor([1.0, 1.0, 7.0, 1.0]))))
        'slices of 7 mm, pixels of 1 x 1 mm'
    """
    affine = np.asarray(image.affine, dtype=float)
    sides = nib.affines.voxel_sizes(affine)
    small, middle, large = np.sort(sides)
    found = [image.meta.get(UNUSUAL, "")]
    if min(image.shape[1:]) > 1 and large >= THICK * middle:
        found.append(f"slices of {large:.3g} mm, pixels of {small:.3g} x {middle:.3g} mm")
    elif middle > SQUARE * small:
        found.append(f"voxels of {' x '.join(f'{s:.3g}' for s in sides)} mm")
    largest = np.abs(affine[:3, :3] / sides).max(axis=0)
    tilt = float(np.degrees(np.arccos(np.clip(largest, -1, 1))).max())
    if tilt > TILTED_DEGREES:
        found.append(f"taken at {tilt:.0f} degrees")
    lowest = float(image.min())
    if lowest < 0:
        found.append(f"values down to {lowest:.4g}")
    return "; ".join(filter(None, found))

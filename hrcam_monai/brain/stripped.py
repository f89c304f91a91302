"""Tell a head whose brain is cut out from a whole one."""

from __future__ import annotations

import numpy as np

__all__ = ["THIN_MM", "air_of", "litres", "stripped_brain", "voxel_mm3"]

THIN_MM = 80.0  # a scan whose shortest side is less shows a part of a brain, which cannot be found in it
MOST_BRAIN_LITRES = 2.6  # with its fluid, and in the large template that phantoms are made of; heads hold three and more
LEAST_AIR = 0.2  # a brain fills about half of the tightest box
TRACE = 1e-3


def voxel_mm3(affine: np.ndarray) -> float:
    """Volume of a voxel of an image with this affine (voxel index to world mm), 4x4.

    Example:
        >>> voxel_mm3(np.diag([-2.0, 2.0, 3.0, 1.0]))
        12.0
    """
    return float(abs(np.linalg.det(np.asarray(affine, dtype=float)[:3, :3])))


def litres(mask: np.ndarray, voxel: float) -> float:
    """Volume of a mask, of voxels of so many mm3.

    Example:
        >>> litres(np.ones((100, 100, 100)), 1.5)
        1.5
    """
    return float((mask > 0).sum() * voxel / 1e6)


def air_of(image: np.ndarray) -> float:
    """The value most common on the faces of an image's box: in a stripped head that of its air, mostly 0.

    Example:
        >>> air_of(np.pad(np.ones((4, 4, 4)), 2, constant_values=-7))
        -7.0
    """
    faces = np.concatenate([image[s].ravel() for a in range(3) for s in ((slice(None),) * a + (i,) for i in (0, -1))])
    values, counts = np.unique(faces, return_counts=True)
    return float(values[counts.argmax()])


def stripped_brain(image: np.ndarray, voxel: float) -> np.ndarray | None:
    """The brain of a skull-stripped image; None if the image seems to hold a skull.

    Stripped means: the value most common on the box's faces is that of one fifth of all voxels or more (air that a tool
    has set; a scanner's is noise), and all else fills no more than a brain.

    Args:
        image: [X, Y, Z], its axes in any order.
        voxel: volume of a voxel, mm3.

    Returns:
        bool [X, Y, Z], or None.

    Example:
        >>> head = np.pad(np.full((9, 9, 9), 5.0), 9)
        >>> stripped_brain(head, 1000.0).sum(), stripped_brain(head, 8000.0)
        (729, None)
    """
    air = air_of(image)
    # a thousandth of the brightest tissue is air too: interpolation leaves such traces
    inside = np.abs(image - air) > TRACE * (np.percentile(image, 99.5) - air)
    if inside.mean() > 1 - LEAST_AIR or litres(inside, voxel) > MOST_BRAIN_LITRES:
        return None
    return inside

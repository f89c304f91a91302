"""The table of a map's peaks, in template coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
from nilearn.image import coord_transform
from nilearn.reporting import get_clusters_table

__all__ = ["MOST", "peak_table"]

MOST = 20  # lines of a table, of either sign
APART_MM = 8.0  # least distance of two peaks of one cluster


def peak_table(image: Any, threshold: float, p: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Peaks above a threshold, and below its negative, largest clusters first within each sign; of each sign `MOST` at most.

    Args:
        image: NIfTI image [X, Y, Z] in template space.
        threshold: of the absolute value; above 0.
        p: corrected p-values on the same grid.

    Returns:
        for each peak `cluster` (peaks of one share its number), `x`, `y`, `z` (template world, RAS+, mm), `value`,
        `cluster_mm3` and `p`; none for a map that stays within the threshold.

    Example:
        >>> import nibabel as nib
        >>> values = np.zeros((9, 9, 9), np.float32)
        >>> values[4, 2, 6] = 3.0
        >>> peak_table(nib.Nifti1Image(values, np.diag([2.0, 2, 2, 1])), 1.0)[0]["y"]
        4.0
    """
    values = np.asarray(image.dataobj)
    if not np.abs(values).max(initial=0.0) > threshold > 0:
        return []
    table = get_clusters_table(image, threshold, two_sided=bool((values < -threshold).any()), min_distance=APART_MM)
    rows: list[dict[str, Any]] = []
    size = 0.0
    lines = table.to_dict("records")
    above, below = ([line for line in lines if sign * float(line["Peak Stat"]) > 0][:MOST] for sign in (1, -1))
    for line in [*above, *below]:
        place = tuple(float(line[axis]) for axis in "XYZ")
        size = size if line["Cluster Size (mm3)"] == "" else float(line["Cluster Size (mm3)"])
        row = {"cluster": int("".join(c for c in str(line["Cluster ID"]) if c.isdigit())), **dict(zip("xyz", place, strict=True))}
        row |= {"value": float(line["Peak Stat"]), "cluster_mm3": size}
        if p is not None:
            voxel = np.round(coord_transform(*place, np.linalg.inv(image.affine))).astype(int)
            row["p"] = float(p[tuple(voxel)])
        rows.append(row)
    return rows

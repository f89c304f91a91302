"""What is drawn of a subject: scan, class maps and masks, on one grid along the scan's own axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import apply_affine, to_matvec, voxel_sizes
from nibabel.spatialimages import SpatialImage
from scipy.ndimage import affine_transform

from hrcam_monai.transforms.thresholds import HALF_WAY, Range, Threshold, evidence_range

__all__ = ["Heat", "Scene", "make_scene", "on_grid", "own_grid"]

VOXELS = 1_500_000  # at most, of what is shown: a subject must still load at once
COARSER = 1.02  # step in the search for voxels large enough


@dataclass(frozen=True)
class Heat:
    """A class map in logit units above its median in the head, within the head.

    Attributes:
        above: [X, Y, Z], 0 and up.
        top: its maximum; 1 where nothing stands out.
        voxel: where the maximum lies; the middle of the head where nothing stands out.
        flat: nothing stands out.
        share: of the maximum, from which on the map counts.
    """

    above: np.ndarray
    top: float
    voxel: tuple[int, ...]
    flat: bool
    share: float = 0.5


@dataclass(frozen=True)
class Scene:
    """A subject on one grid: the first axis goes to the right, the second forwards, the third up, as nearly as the scan's do.

    Attributes:
        scan: [X, Y, Z].
        affine: of the grid, 4x4, straight.
        heats: of each class whose map is there.
        shown: the class whose map was written in full.
        head: bool [X, Y, Z], where the scan is not air; the brain, where it was cut out.
        stripped: the head is a brain that was cut out.
        mask: bool [X, Y, Z], what a person has drawn.
    """

    scan: np.ndarray
    affine: np.ndarray
    heats: dict[str, Heat]
    shown: str
    head: np.ndarray
    stripped: bool = False
    mask: np.ndarray | None = None

    def image(self, values: np.ndarray) -> nib.Nifti1Image:
        """Values of the grid as an image."""
        return nib.Nifti1Image(values, self.affine)


def own_grid(scan: SpatialImage, voxels: int = VOXELS) -> tuple[tuple[int, ...], np.ndarray]:
    """The grid along a scan's own axes, coarser where it has more than `voxels` voxels: the finest sides first.

    Returns:
        shape and affine (to world mm).

    Example:
        >>> own_grid(nib.Nifti1Image(np.zeros((10, 10, 4), np.uint8), np.diag([-1.0, 1.0, 4.0, 1.0])), voxels=110)[0]
        (5, 5, 4)
    """
    near = nib.as_closest_canonical(scan)
    affine = np.asarray(near.affine, dtype=float)
    shape, sizes = np.array(near.shape[:3]), voxel_sizes(affine)

    def coarse(size: float) -> tuple[np.ndarray, np.ndarray]:
        step = np.maximum(size / sizes, 1.0)
        return np.ceil(shape / step - 1e-6).astype(int), step

    size = float(sizes.min())
    while coarse(size)[0].prod() > voxels:
        size *= COARSER
    kept, step = coarse(size)
    first = (shape - 1) / 2 - (kept - 1) * step / 2  # voxels of the scan: both grids have one middle
    grid = affine @ np.diag([*step, 1.0])
    grid[:3, 3] = apply_affine(affine, first)
    return tuple(map(int, kept)), grid


def _straight(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """The affine of a grid as if its scan had been taken straight: its own planes, its middle where it was.

    Cut along the world's axes, a thin slab shows as slanted strips.

    Example:
        >>> tilted = nib.affines.from_matvec(nib.eulerangles.euler2mat(x=0.3) * 2, [1, 2, 3])
        >>> _straight((4, 4, 4), tilted).diagonal()
        array([2., 2., 2., 1.])
    """
    plain = np.diag([*voxel_sizes(affine), 1.0])
    middle = (np.array(shape) - 1) / 2
    plain[:3, 3] = apply_affine(affine, middle) - plain[:3, :3] @ middle
    return plain


def make_scene(
    scan: SpatialImage,
    heat: SpatialImage,
    shown: str,
    threshold: Threshold = HALF_WAY,
    others: Mapping[str, SpatialImage] | None = None,
    brain: SpatialImage | None = None,
    mask: SpatialImage | None = None,
    voxels: int = VOXELS,
) -> Scene:
    """Bring a subject's images onto one grid.

    Args:
        scan: of any axes.
        heat: the map that inference has written on the scan's own grid. Where it begins to count and its maximum are taken there,
            as for the label map.
        shown: its class.
        threshold: from which value on a map counts.
        others: maps of other classes, on grids of their own.
        brain: the mask of a brain that was cut out of its head.
        mask: what a person has drawn.
        voxels: see `own_grid`.

    Example:
        >>> scan = nib.Nifti1Image(np.ones((9, 9, 9), np.float32), np.eye(4))
        >>> heat = nib.Nifti1Image(np.pad(np.ones((1, 1, 1), np.float32), 4), np.eye(4))
        >>> make_scene(scan, heat, "abnormal").heats["abnormal"].voxel
        (4, 4, 4)
    """
    shape, grid = own_grid(scan, voxels)
    held = scan if brain is None else brain
    inside, own = np.asarray(held.dataobj) != 0, np.asarray(heat.dataobj)
    head = on_grid(nib.Nifti1Image(inside.astype(np.uint8), held.affine), shape, grid, order=0) > 0
    heats = {shown: _heat(on_grid(heat, shape, grid), head, _range(own, inside, threshold))}
    for name, other in (others or {}).items():
        if name != shown:
            values = on_grid(other, shape, grid, outside=np.nan)
            known = head & np.isfinite(values)  # a network may see less than the scan shows
            values = np.where(known, values, 0)
            heats[name] = _heat(values, known, _range(values, known, threshold))
    drawn = None
    if mask is not None:
        drawn = on_grid(nib.Nifti1Image((np.asarray(mask.dataobj) > 0).astype(np.uint8), mask.affine), shape, grid, order=0) > 0
    return Scene(on_grid(scan, shape, grid), _straight(shape, grid), heats, shown, head, brain is not None, drawn)


def on_grid(image: SpatialImage, shape: tuple[int, ...], affine: np.ndarray, order: int = 1, outside: float = 0.0) -> np.ndarray:
    """An image's values on another grid, float32 [X, Y, Z]; `outside` where it has none.

    As `nibabel.processing.resample_from_to`, in a fraction of the time where both grids have the same axes.

    Example:
        >>> image = nib.Nifti1Image(np.arange(8.0).reshape(2, 2, 2), np.eye(4))
        >>> on_grid(image, (1, 1, 1), nib.affines.from_matvec(np.eye(3), [0.5, 0.5, 0.5]))
        array([[[3.5]]], dtype=float32)
    """
    near = nib.as_closest_canonical(image)
    matrix, offset = to_matvec(np.linalg.inv(near.affine) @ affine)
    if np.allclose(matrix, np.diag(matrix.diagonal()), atol=1e-6):
        matrix = matrix.diagonal()
    values = np.asarray(near.dataobj, dtype=np.float32)
    return np.asarray(affine_transform(values, matrix, offset, shape, order=order, cval=outside))


def _range(heat: np.ndarray, head: np.ndarray, threshold: Threshold) -> Range:
    values, inside = (torch.from_numpy(np.ascontiguousarray(a)) for a in (heat.astype(np.float32), head))
    return evidence_range(values, inside, *threshold)


def _heat(values: np.ndarray, head: np.ndarray, of: Range) -> Heat:
    above = np.zeros_like(values) if of.empty else np.clip(values - of.middle, 0, None) * head
    voxel = np.argwhere(head).mean(0).round() if of.empty and head.any() else np.unravel_index(above.argmax(), above.shape)
    return Heat(above, 1.0 if of.empty else of.top - of.middle, tuple(int(i) for i in voxel), of.empty, of.share)

"""Brain anatomy that simulated subjects are made from: load a skull-stripped T1, warp it into a new head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

__all__ = [
    "Anatomy",
    "deformed",
    "grid_points",
    "load_anatomy",
    "output_grid",
    "sample",
    "smooth_field",
    "warp",
    "warp_with_points",
]

KNOTS = ((8, 3.0), (14, 1.2))  # deformation of a head: knots an axis and standard deviation, mm
MARGIN_MM = 12.0  # air kept around the brain, so that a warped brain is not cut


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is derived from it can be cached
class Anatomy:
    """One skull-stripped T1.

    Attributes:
        name: short name written into the manifest.
        image: float32 [X, Y, Z], 0 outside the brain, about 1 in white matter.
        affine: 4x4, voxel index to world mm (RAS+), any orientation, oblique too.
    """

    name: str
    image: np.ndarray
    affine: np.ndarray


def load_anatomy(path: str | Path | None = None) -> Anatomy:
    """Read a skull-stripped T1; without a path, the ICBM152 2009a template of nilearn's wheel (1 mm, no download).

    Raises:
        ValueError: the file is not a 3-D volume or has no voxel above zero.

    Example:
        >>> load_anatomy().image.shape
        (197, 233, 189)
    """
    if path is None:
        from nilearn.datasets import load_mni152_template  # imported late: it takes a second

        name, volume = "icbm152", load_mni152_template(resolution=1)
    else:
        name = Path(path).name.split(".")[0]
        volume = nib.load(path)
    image = np.nan_to_num(np.asarray(volume.dataobj, dtype=np.float32)).squeeze()
    if image.ndim != 3:
        raise ValueError(f"{path}: expected a 3-D volume, found shape {image.shape}; give one T1 volume a file.")
    inside = image > 0
    if not inside.any():
        raise ValueError(f"{path}: no voxel is above zero; give a skull-stripped T1 with air set to 0.")
    scaled = np.where(inside, image, 0) / np.percentile(image[inside], 95)
    return Anatomy(name, scaled.astype(np.float32), np.asarray(volume.affine, dtype=np.float64))


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], knots: int, std: float) -> np.ndarray:
    """Random smooth scalar field of a given shape: a cubic B-spline surface over `knots` random coefficients an axis."""
    field = rng.normal(0.0, std, size=(knots,) * len(shape))
    for axis, n in enumerate(shape):
        t = np.concatenate([[0.0] * 3, np.linspace(0, 1, knots - 2), [1.0] * 3])
        basis = BSpline.design_matrix(np.linspace(0, 1, n), t, 3).toarray()
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    return field


def output_grid(anatomy: Anatomy, spacing: float) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of an isotropic grid over the brain, in the anatomy's own orientation (oblique stays oblique)."""
    voxel = np.sqrt((anatomy.affine[:3, :3] ** 2).sum(0))
    where = np.argwhere(anatomy.image > 0)
    low, high = where.min(0) - MARGIN_MM / voxel, where.max(0) + MARGIN_MM / voxel
    shape = tuple(int(n) for n in np.ceil((high - low) * voxel / spacing))
    affine = np.eye(4)
    affine[:3, :3] = anatomy.affine[:3, :3] / voxel * spacing
    affine[:3, 3] = apply_affine(anatomy.affine, low)
    return shape, affine


@lru_cache(maxsize=32)
def _prepared(anatomy: Anatomy, spacing: float) -> tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]:
    """What every subject of an anatomy shares: grid, image without aliasing on it, and the image's fine detail."""
    voxel = np.sqrt((anatomy.affine[:3, :3] ** 2).sum(0))
    source = gaussian_filter(anatomy.image, 0.35 * spacing / voxel)
    return *output_grid(anatomy, spacing), source, source - gaussian_filter(source, 2.5 / voxel)


def deformed(world: np.ndarray, rng: np.random.Generator, knots: Sequence[tuple[int, float]] = KNOTS) -> np.ndarray:
    """Where each point of a new head lies in the anatomy it is made from: a random affine map and a smooth deformation.

    Rotation up to 8 degrees an axis about the points' centre, scale 10 %, shift 4 mm.

    Args:
        world: points on a grid [X, Y, Z, 3], mm.
        rng: the only source of chance.
        knots: of each scale of the deformation, knots an axis and standard deviation, mm.

    Returns:
        points of the same shape, mm.
    """
    centre = world.reshape(-1, 3).mean(0)
    turn = Rotation.from_euler("xyz", rng.uniform(-8, 8, 3), degrees=True).as_matrix()
    linear = turn @ np.diag(rng.uniform(0.9, 1.1, 3))
    moved = (world - centre) @ linear.T + centre + rng.uniform(-4, 4, 3)
    for count, std in knots:
        moved += np.stack([smooth_field(rng, world.shape[:3], count, std) for _ in range(3)], -1)
    return moved


def grid_points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World coordinates (mm) of a grid's voxels, [X, Y, Z, 3]."""
    return apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))


def sample(image: np.ndarray, affine: np.ndarray, world: np.ndarray) -> np.ndarray:
    """An image [X, Y, Z] at world points [..., 3] (mm), by linear interpolation; 0 outside."""
    inverse = np.linalg.inv(affine)
    index = world @ inverse[:3, :3].T + inverse[:3, 3]
    return map_coordinates(image, np.moveaxis(index, -1, 0), order=1, mode="constant", cval=0.0)


def warp_with_points(anatomy: Anatomy, rng: np.random.Generator, spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `warp`, and where each voxel lies in the anatomy: points [X, Y, Z, 3], mm."""
    shape, affine, source, detail = _prepared(anatomy, spacing)
    source = np.clip(source + rng.uniform(0.0, 1.5) * detail, 0, None) * (source > 0.1)
    moved = deformed(grid_points(shape, affine), rng)
    image = sample(source, anatomy.affine, moved)
    return np.where(image > 0.1, image, 0).astype(np.float32), affine, moved


def warp(anatomy: Anatomy, rng: np.random.Generator, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """A new head: the anatomy under a random affine map and a smooth deformation, on an isotropic grid.

    Deformation on two scales (about 35 and 18 mm between knots, 3 and 1.2 mm standard deviation); random sharpening,
    since a template is smoother than a person.

    Returns:
        image float32 [X, Y, Z] on the grid of `output_grid`, 0 outside the brain; and its affine.
    """
    return warp_with_points(anatomy, rng, spacing)[:2]

"""Volumes as itk images (float32 or uint8, LPS world, mm) and back, and from one grid to another."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FLIP", "from_array", "image_like", "itk_types", "lps_affine", "one_thread", "resample", "to_array"]

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS+ world, as in NIfTI, and LPS world, as in DICOM and itk


def itk_types() -> tuple[Any, Any, Any]:
    """itk, and its types of images and masks; imported late, since it takes seconds."""
    import itk

    itk.Object.SetGlobalWarningDisplay(False)  # its warnings are pages of addresses, and may name files
    return itk, itk.Image[itk.F, 3], itk.Image[itk.UC, 3]


def one_thread() -> None:
    """Let itk use one thread: sums then have one order, so the same input gives the same bytes."""
    itk = itk_types()[0]
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)


def from_array(array: np.ndarray, affine: np.ndarray) -> Any:
    """An itk image of a volume [X, Y, Z] with a RAS+ affine; uint8 stays, all else becomes float32.

    Raises:
        ValueError: the affine shears, which itk cannot express: it would move voxels without a word.
    """
    itk = itk_types()[0]
    lps = FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise ValueError("has axes that are not at right angles; resample it to a grid with right angles first.")
    data = array if array.dtype == np.uint8 else array.astype(np.float32)
    image = itk.image_from_array(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(direction))
    return image


def to_array(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """The volume [X, Y, Z] of an itk image and its RAS+ affine; the inverse of `from_array`."""
    return itk_types()[0].array_from_image(image).transpose(2, 1, 0), FLIP @ lps_affine(image)


def lps_affine(image: Any) -> np.ndarray:
    """Voxel index to LPS world mm, 4x4."""
    affine = np.eye(4)
    affine[:3, :3] = itk_types()[0].array_from_matrix(image.GetDirection()) @ np.diag(list(image.GetSpacing()))
    affine[:3, 3] = list(image.GetOrigin())
    return affine


def image_like(array: np.ndarray, image: Any) -> Any:
    """An itk image of these values [Z, Y, X] with the place, spacing and direction of another."""
    itk = itk_types()[0]
    made = itk.image_from_array(np.ascontiguousarray(array, dtype=np.uint8 if array.dtype == np.uint8 else np.float32))
    made.CopyInformation(image)
    return made


def resample(image: Any, grid: Any, transform: Any = None, nearest: bool = False) -> Any:
    """The image on another grid, in one interpolation; air (0) where it has no data.

    Args:
        image: itk image, float32 or uint8.
        grid: itk image whose grid is taken.
        transform: takes points of the grid to points of the image; by default they are the same.
        nearest: nearest neighbour, for masks; else linear.
    """
    itk = itk_types()[0]
    kind = type(image)
    interpolate = itk.NearestNeighborInterpolateImageFunction if nearest else itk.LinearInterpolateImageFunction
    method = itk.ResampleImageFilter[kind, kind].New(image, Interpolator=interpolate[kind, itk.D].New())
    method.SetTransform(itk.AffineTransform.D3.New() if transform is None else transform)
    method.SetOutputParametersFromImage(grid)
    method.Update()
    return method.GetOutput()

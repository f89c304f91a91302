"""The slices of a DICOM series as one volume: whether they make one, their pixels, and where it lies.

Every way in uses this, so that what was checked is the very array that is used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hrcam_monai.data.itk_images import FLIP

__all__ = ["cut_short", "even_steps", "read_pixels", "stack_affine", "stack_fault"]

PLACE_TOLERANCE_MM = 0.5  # scanners round positions to a tenth of a millimetre; what is beyond this is another geometry


def cut_short(file: Path) -> bool:
    """Whether a DICOM file holds fewer pixels than its header says: itk fills up what is missing, without a word.

    pydicom itself raises for some that do. Compressed ones are left to the decoder.
    """
    import pydicom

    sizes = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
    with warnings.catch_warnings(action="ignore"):
        d = pydicom.dcmread(file, specific_tags=[*sizes, "PixelData"], force=True)
    syntax = d.file_meta.get("TransferSyntaxUID")  # files without preamble may have none, and are not compressed
    if syntax is not None and syntax.is_compressed:
        return False
    return len(d.PixelData) * 8 < math.prod(int(d.get(s) or 1) for s in sizes)


def stack_fault(orientations: Sequence[np.ndarray] | np.ndarray, positions: Sequence[np.ndarray] | np.ndarray) -> str | None:
    """What is wrong with slices that are to be one volume, and what to do; None if nothing, or if they are too few to tell.

    Args:
        orientations: of each slice, directions of its rows and columns [6].
        positions: of each slice, its first voxel [3], mm.
    """
    if len(positions) < 3:
        return None
    first = np.asarray(orientations[0])
    if any(not np.allclose(o, first, atol=1e-3) for o in orientations):
        return "slices differ in orientation (a localiser?); keep the slices of one stack."
    places = np.sort(np.asarray(positions) @ np.cross(first[:3], first[3:]))
    distinct, times = np.unique(places.round(2), return_counts=True)
    if len(distinct) > 1 and times.min() == times.max() > 1:
        return f"holds {times[0]} volumes (4-D: {times[0]} slices at each place); export the one volume to use."
    gaps = np.diff(places)
    step = float(np.median(gaps))
    if step <= 0 or gaps.min() < 0.5 * step:
        return "two slices lie at the same place; remove the doubled files or split the series."
    if gaps.max() > 1.5 * step:
        lost = round(float(gaps.max()) / step) - 1
        return f"{lost} slice(s) missing (gap of {gaps.max():.1f} mm, others {step:.1f} mm); export the series again."
    return None


def even_steps(orientation: np.ndarray, positions: np.ndarray) -> float | None:
    """The distance of sorted slices, mm, where they are a straight and even stack; None where no grid of voxels fits them.

    Args:
        orientation: directions of rows and columns [6].
        positions: of each slice, its first voxel [N, 3], mm.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    places = (positions - positions[0]) @ normal
    step = float(places[-1]) / max(len(places) - 1, 1)
    off = np.linalg.norm(positions - positions[0] - np.outer(np.arange(len(places)) * step, normal), axis=1)
    return step if off.max() < PLACE_TOLERANCE_MM and (step > 0 or len(places) == 1) else None


def stack_affine(orientation: np.ndarray, first: np.ndarray, voxel_mm: Sequence[float]) -> np.ndarray:
    """Voxel (column, row, slice) to RAS+ world mm, [4, 4].

    Args:
        orientation: directions of rows and columns [6], LPS.
        first: first voxel [3], LPS mm.
        voxel_mm: size along a row, along a column and from slice to slice.
    """
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = orientation[:3] * voxel_mm[0], orientation[3:] * voxel_mm[1]
    lps[:3, 2] = np.cross(orientation[:3], orientation[3:]) * voxel_mm[2]
    lps[:3, 3] = first
    return FLIP @ lps


def _pixels(file: Path) -> np.ndarray:
    """The rescaled frames of one file, float32 [frames, rows, columns]: itk's, or pydicom's where itk cannot read it."""
    import itk

    itk.Object.SetGlobalWarningDisplay(False)  # its warnings name files
    try:
        array = itk.array_from_image(itk.imread(str(file), itk.F))
    except RuntimeError:
        from pydicom import dcmread
        from pydicom.pixels import apply_rescale

        header = dcmread(file, force=True)
        array = apply_rescale(header.pixel_array, header).astype(np.float32)
    return array if array.ndim == 3 else array[None]


def _stored(file: Path) -> np.ndarray:
    """The frames of one file as they are stored, [frames, rows, columns]."""
    from pydicom import dcmread

    array = dcmread(file, force=True).pixel_array
    return array if array.ndim == 3 else array[None]


def read_pixels(
    files: Sequence[Path], frames: Sequence[tuple[int, int]], scales: Sequence[tuple[float, float]] = ()
) -> np.ndarray:
    """The pixels of a stack, each slice scaled by its own rescale slope and intercept.

    Args:
        files: of the series.
        frames: of each slice along the stack, its file and frame.
        scales: of each slice, where itk would not scale it by its own; then pydicom reads what is stored.

    Returns:
        float32 [columns, rows, slices].

    Raises:
        Exception: neither itk nor pydicom can decode a file; the message may name it.
    """
    read = [_stored(f) if scales else _pixels(f) for f in files]
    slices = [read[file][frame] for file, frame in frames]
    if scales:
        slices = [(s * slope + intercept).astype(np.float32) for s, (slope, intercept) in zip(slices, scales, strict=True)]
    return np.stack(slices, axis=-1).swapaxes(0, 1)

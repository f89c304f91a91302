"""Read one scan, and say in one line what is wrong with it when it cannot be used."""

from __future__ import annotations

import gzip
import logging
import math
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from hrcam_monai.data.failures import reason
from hrcam_monai.data.pictures import AFFINE, PictureError, is_picture, read_picture
from hrcam_monai.data.sources import is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

# MONAI says at every start that its optional GPU decoder is not there; it is not used here
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*nvImageCodec.*")


class ScanError(ValueError):
    """A scan that cannot be used: the message names the file, the fault and the remedy."""


def check_dicom_series(folder: Path) -> list[Dataset]:
    """See that a folder holds one complete DICOM series.

    Returns:
        header of each file, in the order of the files' names.

    Raises:
        ScanError: two series, a missing or doubled slice, or slices that do not lie on one line.
    """
    import pydicom

    files = [p for p in sorted(folder.iterdir()) if p.is_file() and is_dicom(p)]
    headers: list[Dataset] = [pydicom.dcmread(p, stop_before_pixels=True) for p in files]
    if not headers:
        raise ScanError(f"{folder}: holds no DICOM file; give a folder with the files of one series.")
    series = {str(h.SeriesInstanceUID) for h in headers}
    if len(series) > 1:
        raise ScanError(f"{folder}: holds {len(series)} DICOM series; put each series into a folder of its own.")
    if any("ImagePositionPatient" not in h or "ImageOrientationPatient" not in h for h in headers):
        raise ScanError(f"{folder}: a DICOM file has no position or orientation; export the original slices, not derived images.")
    orientations, positions = (
        [np.array(h[tag].value, float) for h in headers] for tag in ("ImageOrientationPatient", "ImagePositionPatient")
    )
    fault = stack_fault(orientations, positions)
    if fault:
        raise ScanError(f"{folder}: {fault}")
    return headers


def check_pixels(folder: Path) -> None:
    """See that each DICOM file of a folder holds all its pixels.

    Raises:
        ScanError: one does not.
    """
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_dicom(p)):
        try:
            whole = not cut_short(path)
        except Exception:  # pydicom's message of an element that ends too early; it may hold a part of the header
            whole = False
        if not whole:
            raise ScanError(f"{path}: its pixels are cut short; copy the series again from its source.")


def cut_short(file: Path) -> bool:
    """Whether a DICOM file holds fewer pixels than its header says: itk fills up what is missing, without a word.

    pydicom itself raises for some that do. Compressed ones are left to the decoder.
    """
    import pydicom

    sizes = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
    with warnings.catch_warnings(action="ignore"):
        d = pydicom.dcmread(file, specific_tags=[*sizes, "PixelData"])
    if d.file_meta.TransferSyntaxUID.is_compressed:
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


def check_nifti(file: Path) -> None:
    """See that a NIfTI file is whole and says where it lies; nibabel checks neither.

    Raises:
        ScanError: a compressed file that is cut short or damaged, or an affine that is singular or not finite.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(2) == b"\x1f\x8b":
                with gzip.open(file) as whole:  # reading to the end checks length and checksum
                    while whole.read(1 << 20):
                        pass
        affine = np.asarray(nib.load(file).affine)  # type: ignore[attr-defined]
    except (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise unreadable(file, error) from None
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError(f"{file}: its affine is singular or not finite, so its place is unknown; export it again.")


def unreadable(file: Path, error: BaseException) -> ScanError:
    """The error of a file that no reader takes."""
    return ScanError(
        f"{file}: cannot be read as an image ({reason(error)[:160]}); it may be cut short or of another format: "
        "copy it again, or convert it to NIfTI."
    )


def read_nifti(path: str | Path, blank: bool = False) -> nib.Nifti1Image:
    """Any scan that `read_scan` takes as a NIfTI image in its own grid, for what works on those.

    Raises:
        ScanError: what `read_scan` refuses.
    """
    scan = read_scan(path, blank=blank)
    return nib.Nifti1Image(scan[0].numpy(), np.asarray(scan.affine, dtype=float))


def read_scan(path: str | Path, channels: int = 1, blank: bool = False) -> MetaTensor:
    """Read a volume: NIfTI, NRRD, MHA/MHD, a folder with one DICOM series, or a picture (PNG, JPEG, TIFF).

    A picture, and a file of two dimensions, is a volume of one slice.

    Args:
        path: file or DICOM folder.
        channels: channels expected.
        blank: one value all over is right, as in an empty mask.

    Returns:
        float32 MetaTensor [channels, X, Y, Z] with its affine (RAS+ world).

    Raises:
        ScanError: missing, empty, truncated or not an image; fewer than two dimensions; other channels; a side of zero; NaN or
            Inf; constant.

    Example:
        >>> read_scan("scan.nii.gz").shape  # doctest: +SKIP
        torch.Size([1, 182, 218, 182])
    """
    file = Path(path)
    if not file.exists():
        raise ScanError(f"{file}: no such file; correct the path or restore the file.")
    if file.is_dir():
        check_dicom_series(file)
        check_pixels(file)
    elif file.stat().st_size == 0:
        raise ScanError(f"{file}: is empty (0 bytes); copy it again from its source.")
    nifti = file.name.lower().endswith((".nii", ".nii.gz"))
    if nifti and file.is_file():
        check_nifti(file)
    if is_picture(file) and file.is_file():
        image = _picture(file, channels)
    else:
        image = _volume(file, "NibabelReader" if nifti and file.is_file() else "ITKReader", channels)
    image = image.float()  # type: ignore[assignment]
    if not torch.isfinite(image).all():
        bad = int((~torch.isfinite(image)).sum())
        raise ScanError(f"{file}: {bad} voxels are NaN or infinite; replace them (0 outside the brain) and save again.")
    if not blank and float(image.min()) == float(image.max()):
        raise ScanError(f"{file}: every voxel is {float(image.min()):g}; it shows nothing: check how it was made.")
    image.meta["original_channel_dim"] = 0
    return image


def _picture(file: Path, channels: int) -> MetaTensor:
    """A picture as a volume of one slice [channels, X, Y, 1]."""
    try:
        pixels = read_picture(file, channels)
    except PictureError as error:
        raise ScanError(f"{file}: {error}") from None
    except Exception as error:
        raise unreadable(file, error) from None
    affine = torch.from_numpy(AFFINE.copy())
    meta = {"original_affine": affine.clone(), "spatial_shape": np.array(pixels.shape[1:]), "space": "RAS"}
    return MetaTensor(torch.from_numpy(pixels), affine=affine, meta=meta)


def _volume(file: Path, reader: str, channels: int) -> MetaTensor:
    """A volume [channels, X, Y, Z]; one slice is a volume, too."""
    try:
        image = LoadImage(reader, image_only=True, ensure_channel_first=False)(str(file))
        if reader == "NibabelReader":  # MONAI takes the qform where the sform has other voxel sizes than pixdim; the sform counts
            image.affine = torch.from_numpy(np.asarray(nib.load(file).affine, dtype=float))  # type: ignore[attr-defined]
            image.meta["original_affine"] = image.affine.clone()
    except Exception as error:
        raise unreadable(file, error) from None
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if 0 in image.shape:
        raise ScanError(f"{file}: has a side of zero voxels (shape {tuple(image.shape)}); export it again.")
    found = 1 if image.ndim <= 3 else int(image.shape[-1])
    if image.ndim > 4 or found != channels:
        raise ScanError(
            f"{file}: has {found} channels or volumes (shape {tuple(image.shape)}), expected {channels}; "
            "save the one volume to use in a file of its own."
        )
    if image.ndim == 2:  # one slice
        image = image.unsqueeze(-1)
    if image.ndim < 3:
        raise ScanError(f"{file}: is {image.ndim}-D (shape {tuple(image.shape)}), expected a volume or a slice.")
    return image.unsqueeze(0) if image.ndim == 3 else image.movedim(-1, 0)

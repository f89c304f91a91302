"""Read one scan, and say in one line what is wrong with it when it cannot be used."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import LoadImage

from hrcam_monai.data.dicom_series import frames_in, read_series, series_in
from hrcam_monai.data.file_kinds import is_dicom
from hrcam_monai.data.nifti import check_nifti, nifti_affine, places, unreadable
from hrcam_monai.data.pictures import AFFINE, PictureError, is_picture, read_picture
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.unusual import UNUSUAL

__all__ = ["ScanError", "check_values", "read_nifti", "read_scan"]

# MONAI says at every start that its optional GPU decoder is not there; it is not used here
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*nvImageCodec.*")

NO_PLACE = "no sform and no qform, so left and right are not known"
NO_SIZE = "an array, which tells no voxel size: 1 mm is taken"


def read_nifti(path: str | Path, blank: bool = False) -> nib.Nifti1Image:
    """Any scan that `read_scan` takes as a NIfTI image in its own grid, for what works on those.

    Raises:
        ScanError: what `read_scan` refuses.
    """
    scan = read_scan(path, blank=blank)
    return nib.Nifti1Image(scan[0].numpy(), np.asarray(scan.affine, dtype=float))


def read_scan(path: str | Path, *, channels: int = 1, blank: bool = False) -> MetaTensor:
    """Read a volume: NIfTI, NRRD, MHA/MHD, NumPy, a DICOM series (its folder or multi-frame file), PNG, JPEG or TIFF.

    A picture, and a file of two dimensions, is a volume of one slice. NumPy's arrays tell no place: [X, Y, Z] are voxels of 1 mm,
    [rows, columns] a picture's.

    Args:
        path: file or DICOM folder.
        channels: channels expected.
        blank: one value all over is right, as in an empty mask.

    Returns:
        float32 MetaTensor [channels, X, Y, Z] with its affine (RAS+ world).

    Raises:
        ScanError: missing, empty, truncated or not an image; what `check_nifti` refuses; fewer than two dimensions; other
            channels; a side of zero; NaN or Inf; constant.

    Example:
        >>> read_scan("scan.nii.gz").shape  # doctest: +SKIP
        torch.Size([1, 182, 218, 182])
    """
    file = Path(path)
    if not file.exists():
        raise ScanError(f"{file}: no such file; correct the path or restore the file.")
    if file.is_file() and file.stat().st_size == 0:
        raise ScanError(f"{file}: is empty (0 bytes); copy it again from its source.")
    nifti = file.name.lower().endswith((".nii", ".nii.gz"))
    if nifti and file.is_file():
        check_nifti(file)
    if file.is_dir() or (channels == 1 and is_dicom(file) and frames_in(file) > 1):
        image = _stack(file)
    elif is_picture(file):
        image = _picture(file, channels)
    elif file.suffix.lower() == ".npy":
        image = _array(file, channels)
    else:
        image = _volume(file, "NibabelReader" if nifti else "ITKReader", channels)
    image = image.float()  # type: ignore[assignment]
    check_values(image, file, blank=blank)
    image.meta["original_channel_dim"] = 0
    image.meta.setdefault(UNUSUAL, "")
    return image


def check_values(image: torch.Tensor, name: str | Path, *, blank: bool = False) -> None:
    """See that an image shows something.

    Args:
        image: any shape.
        name: what an error calls it.
        blank: one value all over is right, as in an empty mask.

    Raises:
        ScanError: NaN or Inf; constant.
    """
    if not torch.isfinite(image).all():
        bad = int((~torch.isfinite(image)).sum())
        raise ScanError(f"{name}: {bad} voxels are NaN or infinite; replace them (0 outside the brain) and save again.")
    if not blank and float(image.min()) == float(image.max()):
        raise ScanError(f"{name}: every voxel is {float(image.min()):g}; it shows nothing: check how it was made.")


def _stack(path: Path) -> MetaTensor:
    """A DICOM series as a volume [1, X, Y, Z]."""
    try:
        series = series_in(path)
        array, affine = read_series(series, least=1)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from None
    return _tensor(array[None], affine, series.unusual)


def _tensor(array: np.ndarray, affine: np.ndarray, unusual: str = "") -> MetaTensor:
    """[C, X, Y, Z] with what MONAI's transforms look for."""
    place = torch.from_numpy(affine.copy())
    meta = {"original_affine": place.clone(), "spatial_shape": np.array(array.shape[1:]), "space": "RAS", UNUSUAL: unusual}
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(array)), affine=place, meta=meta)


def _picture(file: Path, channels: int) -> MetaTensor:
    """A picture as a volume of one slice [channels, X, Y, 1]."""
    try:
        pixels = read_picture(file, channels)
    except PictureError as error:
        raise ScanError(f"{file}: {error}") from None
    except Exception as error:
        raise unreadable(file, error) from None
    return _tensor(pixels, AFFINE)


def _array(file: Path, channels: int) -> MetaTensor:
    """A NumPy array as a volume [1, X, Y, Z]; nothing that it could hold is run."""
    try:
        array = np.load(file, allow_pickle=False)
    except Exception as error:
        raise unreadable(file, error) from None
    if channels != 1 or array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise ScanError(
            f"{file}: holds {array.dtype} of shape {array.shape}; save real numbers [X, Y, Z], or [rows, columns] of a picture."
        )
    values = array.astype(np.float32)
    return _tensor(values.T[None, ..., None], AFFINE) if array.ndim == 2 else _tensor(values[None], np.eye(4), NO_SIZE)


def _volume(file: Path, reader: str, channels: int) -> MetaTensor:
    """A volume [channels, X, Y, Z]; one slice is a volume, too."""
    try:
        image = LoadImage(reader, image_only=True, ensure_channel_first=False)(str(file))
        if reader == "NibabelReader":  # MONAI takes the qform where the sform has other voxel sizes than pixdim; the sform counts
            header = nib.load(file).header
            image.affine = torch.from_numpy(nifti_affine(header))
            image.meta["original_affine"] = image.affine.clone()
            image.meta[UNUSUAL] = "" if places(header) else NO_PLACE
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
    if image.ndim == 2:  # one slice: a tensor of its own, for this one goes on counting two axes
        affine = to_affine_nd(3, np.asarray(image.affine, dtype=float))
        return _tensor(image.as_tensor().numpy()[None, ..., None], affine, image.meta.get(UNUSUAL, ""))
    if image.ndim < 3:
        raise ScanError(f"{file}: is {image.ndim}-D (shape {tuple(image.shape)}), expected a volume or a slice.")
    return image.unsqueeze(0) if image.ndim == 3 else image.movedim(-1, 0)

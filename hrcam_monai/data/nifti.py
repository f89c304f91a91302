"""What is checked of a NIfTI file before it is read; nibabel and MONAI take it at its word."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from hrcam_monai.data.failures import reason
from hrcam_monai.data.scan_error import ScanError

__all__ = ["check_nifti", "nifti_affine", "places", "unreadable"]

SIZES_MM = (0.05, 50.0)  # of a voxel, in scans of patients
LENGTHS = {"meter": "metres", "micron": "micrometres"}

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # what it would say of a header is in the error


def unreadable(file: Path, error: BaseException) -> ScanError:
    """The error of a file that no reader takes."""
    return ScanError(
        f"{file}: cannot be read as an image ({reason(error)[:160]}); it may be cut short or of another format: "
        "copy it again, or convert it to NIfTI."
    )


def nifti_affine(header: Any) -> np.ndarray:
    """Voxel to world [4, 4] by the standard's three methods: the sform, else the qform, else voxel sizes alone.

    nibabel puts a file with neither form about its middle, and turns its first axis over.

    Example:
        >>> nifti_affine(nib.Nifti1Image(np.zeros((2, 2, 2)), None).header).diagonal()
        array([1., 1., 1., 1.])
    """
    if places(header):
        return np.asarray(header.get_best_affine(), dtype=float)
    return np.diag([*map(float, header.get_zooms()[:3]), *[1.0] * (4 - min(len(header.get_zooms()), 3))])


def places(header: Any) -> bool:
    """Whether a header says how its voxels lie: it has an sform or a qform."""
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def check_nifti(file: Path) -> None:
    """See that a NIfTI file is whole, holds one real number a voxel, and says in millimetres where it lies.

    Raises:
        ScanError: a compressed file that is cut short or damaged; an unknown or unsuited kind of values; lengths that are not
            millimetres, or voxels of a size that no patient's scan has; an affine that is singular or not finite.

    Example:
        >>> check_nifti(Path("scan.nii.gz"))  # doctest: +SKIP
    """
    try:
        with file.open("rb") as stream:
            if stream.read(2) == b"\x1f\x8b":
                with gzip.open(file) as whole:  # reading to the end checks length and checksum
                    while whole.read(1 << 20):
                        pass
        header: Any = nib.load(file).header
        kind, affine = header.get_data_dtype(), nifti_affine(header)
        unit = LENGTHS.get(header.get_xyzt_units()[0])
    except (OSError, EOFError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise unreadable(file, error) from None
    if kind.names:
        raise ScanError(f"{file}: holds colours ({''.join(kind.names)}), not one value a voxel; save it in grey.")
    if kind.kind == "c":
        raise ScanError(f"{file}: holds complex values; save their magnitude.")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError(f"{file}: its affine is singular or not finite, so its place is unknown; export it again.")
    sizes = voxel_sizes(affine)
    told = " x ".join(f"{s:.3g}" for s in sizes)
    if unit:
        raise ScanError(f"{file}: gives lengths in {unit} (voxels of {told}); save it with lengths in millimetres.")
    if sizes.min() < SIZES_MM[0] or sizes.max() > SIZES_MM[1]:
        raise ScanError(f"{file}: its voxels are {told} mm, which no patient's scan has; correct the sizes in its header.")

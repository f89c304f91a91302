"""What a file is: an image that can be read, by its name, or DICOM, by its content."""

from __future__ import annotations

from pathlib import Path

from hrcam_monai.data.pictures import PICTURES
from hrcam_monai.data.scan_error import ScanError

__all__ = ["SUFFIXES", "folder_of_dicom", "is_dicom", "is_scan", "stem"]

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npy", *PICTURES)


def is_scan(path: Path) -> bool:
    """Whether the name is that of a volume or picture that can be read, hidden files aside."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its content: names of DICOM files mean nothing, and some have no preamble."""
    if path.name.upper() == "DICOMDIR":  # the index of a disc, no image
        return False
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    if start[128:] == b"DICM":
        return True
    if start[:2] not in (b"\x08\x00", b"\x02\x00") or is_scan(path):  # the first groups of a header, little endian
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SeriesInstanceUID"], force=True)
    except Exception:  # pydicom raises many kinds on what is no DICOM
        return False
    return "SOPClassUID" in header and "SeriesInstanceUID" in header


def stem(file: str | Path) -> str:
    """A file's name without folder and suffix.

    Example:
        >>> stem("scans/p01_T1.nii.gz")
        'p01_T1'
    """
    name = Path(file).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def folder_of_dicom(file: Path) -> Path:
    """The folder of a DICOM file, in whose place it stands: the file's name may be a patient's, and results are named by it.

    Raises:
        ScanError: it holds other DICOM files.
    """
    others = sum(is_dicom(p) for p in file.parent.iterdir() if p.is_file()) - 1
    if others:
        raise ScanError(
            f"{file.parent}: holds {others} DICOM file(s) beside the one given; give the folder, or move the one into its own."
        )
    return file.parent

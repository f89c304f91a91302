"""DICOM folders: split them into series, see that one is a whole stack, and read it.

What is written or told here names no file and no header field but the series' description: file names and headers of
DICOM hold names, dates and numbers of patients.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrcam_monai.data.dicom_header import IDENTIFYING, Frame, blotted, frames_of
from hrcam_monai.data.dicom_stack import cut_short, even_steps, read_pixels, stack_affine, stack_fault
from hrcam_monai.data.file_kinds import is_dicom
from hrcam_monai.data.scan_error import ScanError

__all__ = [
    "Series",
    "check_series",
    "find_series",
    "frames_in",
    "headers_in",
    "read_series",
    "series_in",
    "series_of",
]

LOCALISER = re.compile(r"locali[sz]er|scout|survey|(3|three).?plane|^loc\b", re.IGNORECASE)
AS_SLICES = "export it again as one file a slice"
RESAMPLE = "lay them on a grid (3D Slicer: Acquisition geometry regularization), and give what comes out as NIfTI"
GREY = ("MONOCHROME2", "MONOCHROME1")  # of the second, small values are to be shown white: itk turns them over, nobody else does
BITS = (8, 16, 32)  # of a pixel; with others, or without the palette that a header names, itk misreads, or ends the process
TAGS = (
    *IDENTIFYING, "Modality", "SeriesInstanceUID", "SeriesDescription", "ProtocolName", "ImageType", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SamplesPerPixel", "Rows", "Columns", "SliceThickness",
    "PhotometricInterpretation", "BitsAllocated",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Series:
    """One DICOM series.

    Attributes:
        files: in the order of their places along the stack.
        description, protocol: as the scanner names it, without what identifies the patient.
        modality: "MR" and so on.
        image_type: values of ImageType, such as ("ORIGINAL", "PRIMARY").
        positions: [slices, 3] first voxel of each slice, LPS mm; empty if any has none.
        orientations: [slices, 6] directions of its rows and columns.
        frames: of each slice, its file and its frame in it.
        pixel_mm: size of a pixel along a row and along a column.
        thickness_mm: of a slice, as the header has it; 0 if it has none.
        fault: why its slices are no one volume, whatever their places; empty if nothing is.
        turned: its grey values are to be shown turned over (MONOCHROME1).
        scales: rescale slope and intercept of each slice, where itk would read values otherwise: frames of one file that are
            scaled apart, and MONOCHROME1; empty where itk reads them right.
    """

    files: tuple[Path, ...]
    description: str
    protocol: str
    modality: str
    image_type: tuple[str, ...]
    positions: np.ndarray
    orientations: np.ndarray
    frames: tuple[tuple[int, int], ...]
    pixel_mm: tuple[float, float]
    thickness_mm: float
    fault: str
    turned: bool = False
    scales: tuple[tuple[float, float], ...] = ()

    @property
    def slices(self) -> int:
        """How many slices have a place."""
        return len(self.positions)

    @property
    def name(self) -> str:
        """For messages: 'T1 post' (MR, 176 slices)."""
        return f"'{self.description or self.protocol or 'no description'}' ({self.modality}, {self.slices} slices)"

    @property
    def unusual(self) -> str:
        """What a reader of it should know; "" if nothing."""
        kind = self.left_out_as()
        found = [f"marked as {kind}" if kind else "", "stored as a negative (MONOCHROME1)" if self.turned else ""]
        return "; ".join(filter(None, found))

    def left_out_as(self) -> str | None:
        """Why no volume would be expected of it; None if one would."""
        if "LOCALIZER" in self.image_type or LOCALISER.search(self.description):
            return "a localiser"
        return "a derived image" if {"DERIVED", "SECONDARY"} & set(self.image_type[:2]) else None


def _fault(headers: Sequence[Any], found: Sequence[list[Frame]]) -> str:
    """Why slices are no one volume of one patient, apart from their places."""
    patients = {(str(h.get("PatientID", "")), str(h.get("PatientName", ""))) for h in headers}
    sizes = {(int(h.get("Rows") or 0), int(h.get("Columns") or 0)) for h in headers}
    pixels = {tuple(round(v, 4) for v in f.pixel) for frames in found for f in frames}
    if len(patients) > 1:
        return f"holds slices of {len(patients)} patients; export each patient's series again."
    if any(int(h.get("SamplesPerPixel") or 1) > 1 for h in headers):
        return "its pixels are in colour; export the original slices, not derived images."
    kinds = {(str(h.get("PhotometricInterpretation", GREY[0])), h.get("BitsAllocated", BITS[1])) for h in headers}
    if any(grey not in GREY or bits not in BITS for grey, bits in kinds):
        return "its pixels are not grey values of 8, 16 or 32 bits; export the original slices again."
    if len(sizes) > 1:
        return f"slices differ in size ({', '.join(f'{c} x {r}' for r, c in sorted(sizes))}); keep the slices of one stack."
    if any(int(h.get("NumberOfFrames") or 1) != len(frames) for h, frames in zip(headers, found, strict=True)):
        return f"a multi-frame file does not say where each of its frames lies; {AS_SLICES}."
    if () in pixels or any(0 in p for p in pixels):
        return "a slice has no PixelSpacing, so its size is unknown; export the original slices again."
    if len(pixels) > 1:
        return "slices differ in PixelSpacing; keep the slices of one stack."
    return ""


def series_of(files: Sequence[Path], headers: Sequence[Any]) -> Series:
    """A series of its files and headers, ordered along the stack; one whose headers make no sense has no slices, and a fault."""
    try:
        return _series_of(files, headers)
    except (ValueError, TypeError, IndexError, AttributeError):  # '1A' frames, a place of two numbers; the message may quote it
        none, modality = np.empty((0, 3)), str(headers[0].get("Modality", ""))
        fault = "a header holds a place, a size or a number of frames that is none; export the series again."
        return Series(tuple(files), "", "", modality, (), none, np.empty((0, 6)), (), (0.0, 0.0), 0.0, fault)


def _series_of(files: Sequence[Path], headers: Sequence[Any]) -> Series:
    first = headers[0]
    found = [frames_of(h) for h in headers]
    places = [(i, j) for i, frames in enumerate(found) for j in range(len(frames))]
    placed = all(f.position is not None and f.orientation is not None for frames in found for f in frames)
    order = list(range(len(files)))
    if placed:
        turn = np.array(found[0][0].orientation, float)
        normal = np.cross(turn[:3], turn[3:])
        along = {(i, j): float(normal @ np.array(found[i][j].position, float)) for i, j in places}
        order.sort(key=lambda i: min(along[i, j] for j in range(len(found[i]))))
        places.sort(key=along.__getitem__)
    slices = [found[i][j] for i, j in places] if placed else []
    pixel = found[0][0].pixel or (0.0, 0.0)
    turned = any(h.get("PhotometricInterpretation") == GREY[1] for h in headers)
    own_scales = turned or any(len({f.scale for f in frames}) > 1 for frames in found)
    return Series(
        files=tuple(files[i] for i in order),
        description=blotted(str(first.get("SeriesDescription", "")).strip(), first),
        protocol=blotted(str(first.get("ProtocolName", "")).strip(), first),
        modality=str(first.get("Modality", "")),
        image_type=tuple(str(v).upper() for v in first.get("ImageType") or ()),
        positions=np.array([f.position for f in slices], float).reshape(-1, 3),
        orientations=np.array([f.orientation for f in slices], float).reshape(-1, 6),
        frames=tuple((order.index(i), j) for i, j in places),
        pixel_mm=(pixel[1], pixel[0]),  # DICOM gives the distance of rows first
        thickness_mm=float(first.get("SliceThickness") or 0),
        fault=_fault(headers, found),
        turned=turned,
        scales=tuple(s.scale for s in slices) if own_scales else (),
    )


def _headers(files: Sequence[Path], whole: bool = False) -> list[Any]:
    """The header of each file, or what of it tells series and geometry.

    Raises:
        ScanError: one cannot be read; it is told by number, as its name may be a patient's.
    """
    import pydicom

    headers = []
    for number, file in enumerate(files, start=1):
        try:
            with warnings.catch_warnings(action="ignore"):  # they quote values of the header
                tags = None if whole else list(TAGS)
                headers.append(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True))
                str(headers[-1].SeriesInstanceUID)
        except Exception:  # pydicom raises many kinds
            told = f"DICOM file {number} of {len(files)} by name cannot be read, or names no series"
            raise ScanError(f"{told}; copy it again.") from None
    return headers


def find_series(folder: Path) -> list[Series]:
    """All series of a folder and the folders below it, by SeriesInstanceUID.

    Raises:
        ScanError: it holds no DICOM file, or one whose header cannot be read.

    Example:
        >>> [s.name for s in find_series(Path("study/s01"))]  # doctest: +SKIP
        ["'T1 post' (MR, 176 slices)"]
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_dicom(p))
    if not files:
        raise ScanError(f"{folder}: holds no DICOM file; see that the export is there, with its files uncompressed (no zip).")
    groups: dict[str, list[tuple[Path, Any]]] = {}
    try:
        headers = _headers(files)
    except ScanError as error:
        raise ScanError(f"{folder}: {error}") from None
    for file, header in zip(files, headers, strict=True):
        groups.setdefault(str(header.SeriesInstanceUID), []).append((file, header))
    return [series_of(*zip(*group, strict=True)) for group in groups.values()]


def frames_in(file: Path) -> int:
    """How many frames a DICOM file says it has."""
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["NumberOfFrames"], force=True)
        return int(header.get("NumberOfFrames") or 1)
    except Exception:  # what is wrong with it is told by who reads it
        return 1


def headers_in(path: Path) -> tuple[list[Path], list[Any]]:
    """Files and whole headers of the one series that a folder, or a file, holds.

    Raises:
        ScanError: no DICOM file, or several series.
    """
    files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if p.is_file() and is_dicom(p)]
    if not files:
        raise ScanError("holds no DICOM file; give a folder with the files of one series.")
    headers = _headers(files, whole=True)
    count = len({str(h.SeriesInstanceUID) for h in headers})
    if count > 1:
        raise ScanError(f"holds {count} DICOM series; put each series into a folder of its own.")
    return files, headers


def series_in(path: Path) -> Series:
    """The one series that a folder, or a multi-frame file, holds.

    Raises:
        ScanError: what `headers_in` refuses; the message does not name the folder.
    """
    return series_of(*headers_in(path))


def check_series(series: Series, least: int = 3) -> float:
    """See that a series is one whole, straight and even stack of one patient; the distance of its slices, mm.

    Raises:
        ScanError: what is wrong with it, and what to do.
    """
    fault = series.fault
    if not series.slices:
        raise ScanError(fault or "a DICOM file has no position or orientation; export the original slices, not derived images.")
    fault = fault or stack_fault(series.orientations, series.positions) or ""
    if not fault and series.slices < least:
        fault = f"has {series.slices} slice(s), and a volume needs three or more; choose another with --series."
    if fault:
        raise ScanError(fault)
    step = even_steps(series.orientations[0], series.positions)
    if step is None:
        raise ScanError(f"its slices are no straight, even stack, so no grid of voxels fits them; {RESAMPLE}.")
    return step or series.thickness_mm or 1.0


def read_series(series: Series, least: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Read a series: float32 [X, Y, Z] with each slice's rescaled values, and the RAS+ affine that the headers give.

    Args:
        series: see `find_series`.
        least: slices that it must have.

    Raises:
        ScanError: colour, too few slices, slices that miss, repeat, differ in size or orientation or are no straight and
            even stack, several volumes (4-D) or patients, or pixels that itk cannot decode.
    """
    step = check_series(series, least)
    for number, file in enumerate(series.files, start=1):
        try:
            short = cut_short(file)
        except Exception:  # pydicom's message of an element that ends too early; it may hold a part of the header
            short = True
        if short:
            told = f"pixels of DICOM file {number} of {len(series.files)} along the stack are cut short"
            raise ScanError(f"{told}; copy the series again from its source.")
    try:
        array = read_pixels(series.files, series.frames, series.scales)
    except Exception:  # the message names files
        raise ScanError(
            "its pixels cannot be decoded (a compression that itk lacks?); copy it again, or decompress it with gdcmconv --raw."
        ) from None
    return array, stack_affine(series.orientations[0], series.positions[0], (*series.pixel_mm, step))

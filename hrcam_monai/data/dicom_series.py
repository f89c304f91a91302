"""DICOM folders: split them into series, choose one by rules, see that it is one whole stack, and read it.

What is written or told here names no file and no header field but the series' description: file names and headers of
DICOM hold names, dates and numbers of patients.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrcam_monai.data.reading import ScanError, cut_short, stack_fault
from hrcam_monai.data.sources import is_dicom

LOCALISER = re.compile(r"locali[sz]er|scout|survey|(3|three).?plane|^loc\b", re.IGNORECASE)
PLACE_TOLERANCE_MM = 0.5  # scanners round positions to a tenth of a millimetre; what is beyond this is another geometry
CONVERT = "convert it with dcm2niix, and give the NIfTI files as a BIDS folder"
IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber", "StudyID")
TAGS = (
    *IDENTIFYING, "Modality", "SeriesInstanceUID", "SeriesDescription", "ProtocolName", "ImageType", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SamplesPerPixel",
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
        pixel_mm: size of a pixel along a row and along a column.
    """

    files: tuple[Path, ...]
    description: str
    protocol: str
    modality: str
    image_type: tuple[str, ...]
    positions: np.ndarray
    orientations: np.ndarray
    pixel_mm: tuple[float, float]

    @property
    def slices(self) -> int:
        """How many slices have a place."""
        return len(self.positions)

    @property
    def name(self) -> str:
        """For messages: 'T1 post' (MR, 176 slices)."""
        return f"'{self.description or self.protocol or 'no description'}' ({self.modality}, {self.slices} slices)"

    def left_out_as(self) -> str | None:
        """Why no volume would be expected of it; None if one would."""
        if "LOCALIZER" in self.image_type or LOCALISER.search(self.description):
            return "a localiser"
        return "a derived image" if {"DERIVED", "SECONDARY"} & set(self.image_type[:2]) else None


def _blotted(text: str, header: Any) -> str:
    """A description without words of the patient's name, numbers and dates, which operators sometimes type into it."""
    for tag in IDENTIFYING:
        for word in re.split(r"[\s^=,\\]+", str(header.get(tag, ""))):
            if len(word) > 2:
                text = re.sub(re.escape(word), "***", text, flags=re.IGNORECASE)
    return re.sub(r"(19|20)\d{2}[-./]?[01]\d[-./]?[0-3]\d", "***", text)


def _frames(header: Any) -> tuple[list[Any], list[Any], Any]:
    """Positions, orientations and pixel size of a file's slices: one, or those of a multi-frame file."""
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [header.get("ImagePositionPatient")], [header.get("ImageOrientationPatient")], header.get("PixelSpacing")
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]

    def find(frame: Any, group: str, field: str) -> Any:
        for holder in (frame, shared[0]):
            if group in holder:
                return holder[group].value[0].get(field)
        return None

    frames = list(header.PerFrameFunctionalGroupsSequence)
    positions = [find(f, "PlanePositionSequence", "ImagePositionPatient") for f in frames]
    orientations = [find(f, "PlaneOrientationSequence", "ImageOrientationPatient") for f in frames]
    return positions, orientations, find(frames[0], "PixelMeasuresSequence", "PixelSpacing")


def _series(files: Sequence[Path], headers: Sequence[Any]) -> Series:
    """A series of its files and headers, ordered along the stack."""
    first = headers[0]
    found = [_frames(h) for h in headers]
    order = list(range(len(files)))
    if all(p is not None and o is not None for positions, turns, _ in found for p, o in zip(positions, turns, strict=True)):
        turn = np.array(found[0][1][0], float)
        normal = np.cross(turn[:3], turn[3:])
        order.sort(key=lambda i: float(normal @ np.array(found[i][0][0], float)))
        positions = np.array([p for i in order for p in found[i][0]], float)
        orientations = np.array([o for i in order for o in found[i][1]], float)
    else:
        positions, orientations = np.empty((0, 3)), np.empty((0, 6))
    pixel = found[0][2] or (0.0, 0.0)
    return Series(
        files=tuple(files[i] for i in order),
        description=_blotted(str(first.get("SeriesDescription", "")).strip(), first),
        protocol=_blotted(str(first.get("ProtocolName", "")).strip(), first),
        modality=str(first.get("Modality", "")),
        image_type=tuple(str(v).upper() for v in first.get("ImageType") or ()),
        positions=positions,
        orientations=orientations,
        pixel_mm=(float(pixel[1]), float(pixel[0])),  # DICOM gives the distance of rows first
    )


def find_series(folder: Path) -> list[Series]:
    """All series of a folder and the folders below it, by SeriesInstanceUID.

    Raises:
        ScanError: it holds no DICOM file, or one whose header cannot be read.

    Example:
        >>> [s.name for s in find_series(Path("study/s01"))]  # doctest: +SKIP
        ["'T1 post' (MR, 176 slices)"]
    """
    import pydicom

    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_dicom(p))
    if not files:
        raise ScanError(f"{folder}: holds no DICOM file; see that the export is there, with its files uncompressed (no zip).")
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for number, file in enumerate(files, start=1):
        try:
            with warnings.catch_warnings(action="ignore"):  # they quote values of the header
                header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
                groups.setdefault(str(header.SeriesInstanceUID), []).append((file, header))
        except Exception:  # pydicom raises many kinds
            raise ScanError(f"{folder}: DICOM file {number} of {len(files)} by name cannot be read; copy it again.") from None
    return [_series(*zip(*group, strict=True)) for group in groups.values()]


def choose_series(found: Sequence[Series], pattern: str | None = None) -> tuple[Series, str | None]:
    """The one series to use: MR, named by the pattern, no localiser and not derived, of most slices.

    A localiser or a derived series is taken when the pattern names nothing else: many scanners mark good images as derived.

    Args:
        found: series of one subject.
        pattern: regular expression, found anywhere in the description or the protocol's name, in any case.

    Returns:
        the series; and a remark, if it is one that would be left out without the pattern.

    Raises:
        ScanError: none fits, or several fit equally well.
    """
    there = Counter(s.name + (f", {s.left_out_as()}" if s.left_out_as() else "") for s in found)
    listing = "; ".join(f"{name}{f' x {n}' if n > 1 else ''}" for name, n in sorted(there.items()))
    fits = [s for s in found if s.modality == "MR" and s.slices]
    if pattern is not None:
        fits = [s for s in fits if any(re.search(pattern, text, re.IGNORECASE) for text in (s.description, s.protocol))]
    plain = [s for s in fits if not s.left_out_as()]
    remark = None
    if not plain and fits and pattern is not None:
        plain, remark = fits, f"takes {{}}, marked as {fits[0].left_out_as()}, since --series names it"
    if not plain:
        rule = f"no MR series matches --series '{pattern}'" if pattern is not None else "no MR series is a volume of its own"
        raise ScanError(f"{rule}; there are: {listing}; name the one to use with --series.")
    most = max(s.slices for s in plain)
    best = [s for s in plain if s.slices == most]
    if len(best) > 1:
        names = ", ".join(sorted(s.name for s in best))
        raise ScanError(
            f"{len(best)} series fit equally well: {names}; narrow --series to one, or move the others out of the folder."
        )
    return best[0], remark.format(best[0].name) if remark else None


def read_series(series: Series) -> Any:
    """Read a series as an itk image, float32 with rescaled values, its voxels where the headers say.

    Raises:
        ScanError: colour, fewer than three slices, slices that miss, repeat, differ in orientation or are no straight and
            even stack, several volumes (4-D), or pixels that itk cannot decode.
    """
    import itk

    fault = stack_fault(series.orientations, series.positions)
    if fault is None and series.slices < 3:
        fault = f"has {series.slices} slice(s), and a volume needs three or more; choose another with --series."
    if fault:
        raise ScanError(f"series {series.name}: {fault}")
    itk.Object.SetGlobalWarningDisplay(False)  # its warnings name files
    try:
        if any(map(cut_short, series.files)):  # itk fills up what is missing, without a word
            raise EOFError
        files = [str(f) for f in series.files]
        image = itk.imread(files if len(files) > 1 else files[0], itk.F)
    except Exception:  # the message names files
        raise ScanError(
            f"series {series.name}: its pixels cannot be decoded (cut short, colour, or a compression that itk lacks); "
            f"copy it again, or {CONVERT}."
        ) from None
    if not _lies_where_headers_say(image, series):
        kind = "a multi-frame file whose frames are" if len(series.files) == 1 else "slices that are"
        raise ScanError(f"series {series.name}: {kind} no straight, even stack in order, so itk would misplace it; {CONVERT}.")
    return image


def _lies_where_headers_say(image: Any, series: Series) -> bool:
    """Whether every slice of the image, in order, begins at its header's position, and rows and columns agree."""
    import itk

    if image.GetImageDimension() != 3 or itk.size(image)[2] != series.slices:
        return False
    direction, spacing = itk.array_from_matrix(image.GetDirection()), list(image.GetSpacing())
    steps = np.arange(series.slices)[:, None] * spacing[2] * direction[:, 2]
    turn = np.concatenate([direction[:, 0], direction[:, 1]])
    return (
        bool(np.all(np.linalg.norm(np.array(list(image.GetOrigin())) + steps - series.positions, axis=1) < PLACE_TOLERANCE_MM))
        and np.allclose(turn, series.orientations[0], atol=1e-3)
        and np.allclose(spacing[:2], series.pixel_mm, rtol=1e-3)
    )

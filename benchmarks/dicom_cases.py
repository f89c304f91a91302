"""Small DICOM folders, each with one thing that goes wrong in hospitals, and the volume that they hold where it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

SLICES, ROWS, COLUMNS = 12, 40, 36
ROW_MM, COLUMN_MM, STEP_MM = 1.5, 2.5, 3.0  # from row to row, from column to column, from slice to slice
ORIGIN = np.array([-36.0, -40.0, -12.0])  # LPS, mm
TURN = nib.eulerangles.euler2mat(0.1, -0.2, 0.3)  # its columns: along a row, along a column, along the stack
VALUES = np.random.default_rng(0).integers(50, 950, (SLICES, ROWS, COLUMNS)).astype(np.uint16)


@dataclass(frozen=True)
class Case:
    """One folder.

    Attributes:
        name: what is odd about it.
        write: puts its files into a folder.
        right: the values [slices, rows, columns] that it holds; None where they are no one volume on a grid.
        step_mm: from slice to slice.
        reason: why the answer that we give is the right one.
        where: of slices that are no grid, where each lies.
    """

    name: str
    write: Callable[[Path], None]
    right: np.ndarray | None = field(default_factory=lambda: VALUES.astype(float))
    step_mm: float = STEP_MM
    reason: str = ""
    where: Callable[[int], np.ndarray] | None = None

    def volume(self) -> nib.Nifti1Image | None:
        """What is right, in the world of NIfTI."""
        if self.right is None:
            return None
        lps = np.eye(4)
        lps[:3, :3], lps[:3, 3] = TURN * [COLUMN_MM, ROW_MM, self.step_mm], ORIGIN
        return nib.Nifti1Image(self.right.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def header(i: int, uid: str, values: np.ndarray, position: np.ndarray, sop: str = MRImageStorage) -> Dataset:
    """Slice `i` of a series, as a scanner would write it."""
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID, d.SOPInstanceUID = sop, d.file_meta.MediaStorageSOPInstanceUID
    d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.3", uid, "1.2.3.9"
    d.Modality, d.SeriesDescription, d.ImageType, d.Manufacturer = "MR", "T1", ["ORIGINAL", "PRIMARY", "M"], "Philips"
    d.PatientName, d.PatientID, d.StudyDate, d.StudyTime = "A", "A", "20200101", "100000"
    d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber, d.EchoTime, d.RepetitionTime = 4, 1, i + 1, 3.0, 1900.0
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = values.shape[-2:]
    d.PixelSpacing, d.SliceThickness = [ROW_MM, COLUMN_MM], STEP_MM
    d.ImagePositionPatient = [f"{v:.6f}" for v in position]
    d.ImageOrientationPatient = [f"{v:.8f}" for v in (*TURN[:, 0], *TURN[:, 1])]
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
    d.PixelData = values.tobytes()
    return d


def place(i: float) -> np.ndarray:
    """The first voxel of slice `i`, LPS mm."""
    return ORIGIN + STEP_MM * i * TURN[:, 2]


def stack(
    change: Callable[[int, Dataset], object] = lambda i, d: None,
    where: Callable[[int], np.ndarray] = place,
    of: Callable[[int], np.ndarray] = lambda i: VALUES[i],
    keep: Callable[[int], bool] = lambda i: True,
    bare: Callable[[int], bool] = lambda i: False,
    sop: str = MRImageStorage,
) -> Callable[[Path], None]:
    """A writer of a series: `change` edits a header, `where` places it, `of` gives its pixels; `bare` files have no preamble."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        uid = generate_uid()
        for i in filter(keep, range(SLICES)):
            d = header(i, uid, of(i), where(i), sop)
            change(i, d)
            file = folder / f"I{(7 * i) % SLICES:03d}"  # names in another order than places
            pydicom.dcmwrite(file, d, enforce_file_format=True)
            if bare(i):
                file.write_bytes(file.read_bytes()[132:])

    return write


def given(**fields: Any) -> Callable[[int, Dataset], None]:
    """An edit: fields of every slice, or, where a value is a function, of each by its number; None takes one away."""

    def change(i: int, d: Dataset) -> None:
        for name, value in fields.items():
            value = value(i) if callable(value) else value
            if value is None:
                delattr(d, name)
            else:
                setattr(d, name, value)

    return change


def _item(**fields: object) -> Dataset:
    item = Dataset()
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def enhanced(
    places: list[int], scales: Mapping[int, float] | None = None, placed: bool = True, maker: str = "Philips"
) -> Callable[[Path], None]:
    """A writer of one enhanced MR file: its frames lie at these places, some with a scale of their own."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        frames = VALUES[places]
        d = header(0, generate_uid(), frames, ORIGIN, EnhancedMRImageStorage)
        turn = list(d.ImageOrientationPatient)
        for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "EchoTime"):
            delattr(d, tag)
        d.NumberOfFrames, d.ImageType = len(places), ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        d.AcquisitionDateTime, d.Manufacturer = "20200101100000", maker
        measures = _item(PixelSpacing=[ROW_MM, COLUMN_MM], SliceThickness=STEP_MM, SpacingBetweenSlices=STEP_MM)
        d.SharedFunctionalGroupsSequence = [
            _item(PlaneOrientationSequence=[_item(ImageOrientationPatient=turn)], PixelMeasuresSequence=[measures])
        ]
        d.PerFrameFunctionalGroupsSequence = []
        for n, p in enumerate(places):
            frame = _item(FrameContentSequence=[_item(InStackPositionNumber=p + 1, StackID="1", DimensionIndexValues=[1, p + 1])])
            if placed:
                frame.PlanePositionSequence = [_item(ImagePositionPatient=[f"{v:.6f}" for v in place(p)])]
            if scales is not None:
                scale = _item(RescaleSlope=scales.get(n, 1.0), RescaleIntercept=0.0, RescaleType="US")
                frame.PixelValueTransformationSequence = [scale]
            d.PerFrameFunctionalGroupsSequence.append(frame)
        if not placed:
            del d.PerFrameFunctionalGroupsSequence
        pydicom.dcmwrite(folder / "enhanced", d, enforce_file_format=True)

    return write


def half(first: Any, second: Any) -> Callable[[int], Any]:
    """One value of the first five slices, another of the others."""
    return lambda i: first if i < 5 else second


def _cut(i: int, d: Dataset) -> None:
    if i == 4:
        d.PixelData = d.PixelData[:-400]


NOT_A_GRID = "no grid of voxels fits the slices; to interpolate values is the user's choice, not a reader's"
PLACED = "the slices make one even stack; the header that differs places nothing"
UNEVEN = np.array([3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]).cumsum() / STEP_MM
SHEAR = np.tan(np.deg2rad(15)) * STEP_MM * TURN[:, 1]
SLOPES = {small: np.array([1.0, *[small] * (SLICES - 1)]) for small in (0.001, 200.0)}


def made() -> list[Case]:
    """The cases that are made: what went wrong by issue, and what a plain reader does rightly."""
    signed = (VALUES.astype(np.int16) - 500).astype(np.int16)
    shuffled = [3, 0, 7, 1, 9, 5, 11, 2, 10, 4, 8, 6]
    tall = VALUES[:, :30]
    split = [
        Case("slices in any order of files", stack(), reason="places, not names, order slices"),
        Case("SliceThickness 3.0 and 3.01", stack(given(SliceThickness=half(3.0, 3.01))), reason=PLACED),
        Case("SequenceName differs", stack(given(SequenceName=half("fl3d1", "fl3d1r"))), reason=PLACED),
        Case("SeriesNumber differs", stack(given(SeriesNumber=half(4, 5))), reason=PLACED),
        Case("EchoTime differs", stack(given(EchoTime=half(3.0, 3.4))), reason=PLACED),
        Case("ends without preamble", stack(bare=lambda i: i in (0, SLICES - 1)), reason="a preamble is no part of the image"),
        Case("negative air", stack(given(PixelRepresentation=1), of=lambda i: signed[i]), signed.astype(float)),
        Case(
            "MONOCHROME1",
            stack(given(PhotometricInterpretation="MONOCHROME1")),
            reason="small values are to be shown white; they stay what they are",
        ),
    ]
    scaled = [
        Case(
            f"RescaleSlope 1, then {slope:g}",
            stack(given(RescaleSlope=lambda i, s=all_of: float(s[i]), RescaleIntercept=-7.0)),
            right=VALUES * all_of[:, None, None] - 7.0,
            reason="each slice by its own slope, as the standard says",
        )
        for slope, all_of in SLOPES.items()
    ]

    def tilted(i: int) -> np.ndarray:
        return place(i) + i * SHEAR

    def uneven(i: int) -> np.ndarray:
        return place(UNEVEN[i])

    def doubled(i: int) -> np.ndarray:
        return place(min(i, SLICES - 2))

    tilt = given(Modality="CT", GantryDetectorTilt=15.0)
    no_grid = [
        Case("gantry tilt 15 degrees, MR", stack(where=tilted), None, reason=NOT_A_GRID, where=tilted),
        Case("gantry tilt 15 degrees, CT", stack(tilt, tilted, sop=CTImageStorage), None, reason=NOT_A_GRID, where=tilted),
        Case("gaps of 3, then 4 mm", stack(where=uneven), None, reason=NOT_A_GRID, where=uneven),
        Case("a slice missing", stack(keep=lambda i: i != 5), None, reason="a gap is not tissue", where=place),
        Case(
            "a slice twice",
            stack(where=lambda i: place(min(i, SLICES - 2))),
            None,
            reason="which of them is right is not known",
        ),
        Case("two volumes", stack(where=lambda i: place(i % 6)), None, reason="which volume is meant is the user's to say"),
        Case("Rows differ", stack(of=lambda i: VALUES[i] if i < 6 else tall[i]), None, reason="two stacks"),
        Case("no PixelSpacing", stack(given(PixelSpacing=None)), None, reason="a size that is not known is not 1 mm"),
        Case("PixelSpacing differs", stack(given(PixelSpacing=half([1.5, 2.5], [1.0, 1.0]))), None, reason=NOT_A_GRID),
        Case(
            "two patients",
            stack(given(PatientID=half("A", "B"), PatientName=half("A", "B"))),
            None,
            reason="two heads",
        ),
        Case(
            "a localiser's directions",
            stack(given(ImageOrientationPatient=half([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]))),
            None,
            reason="two stacks",
        ),
        Case("pixels cut short", stack(_cut), None, reason="what is missing is not 0"),
    ]
    frames = [
        Case("enhanced, frames in order", enhanced(list(range(SLICES)))),
        Case("enhanced, frames shuffled", enhanced(shuffled), reason="each frame says where it lies"),
        Case("enhanced, a frame missing", enhanced([i for i in range(SLICES) if i != 5]), None, reason="as with slices"),
        Case(
            "enhanced, frames scaled apart",
            enhanced(list(range(SLICES)), scales={i: 0.5 for i in range(6)}),
            right=VALUES * np.array([0.5] * 6 + [1.0] * 6)[:, None, None],
            reason="each frame by its own slope",
        ),
        Case(
            "enhanced, frames scaled apart, Siemens",
            enhanced(list(range(SLICES)), scales={i: 0.5 for i in range(6)}, maker="SIEMENS"),
            right=VALUES * np.array([0.5] * 6 + [1.0] * 6)[:, None, None],
            reason="the same, whoever made the scanner",
        ),
        Case(
            "enhanced, frames scaled alike",
            enhanced(list(range(SLICES)), scales=dict.fromkeys(range(SLICES), 0.5)),
            right=VALUES * 0.5,
        ),
        Case(
            "multi-frame without places",
            enhanced(list(range(SLICES)), placed=False),
            None,
            reason="their places are not known",
        ),
    ]
    return [*split, *scaled, *no_grid, *frames]


def of_pydicom() -> list[tuple[str, list[Path]]]:
    """pydicom's own test images: each grey file alone, and each series of its DICOMDIR."""
    root = Path(str(get_testdata_file("MR_small.dcm"))).parent
    alone = [p for p in sorted(root.iterdir()) if p.suffix == ".dcm" and _is_image(p)]
    series = sorted({p.parent for p in (root / "dicomdirtests").rglob("*") if p.is_file() and _is_image(p)})
    folders = [(f"dicomdirtests/{f.relative_to(root / 'dicomdirtests')}", sorted(filter(_is_image, f.iterdir()))) for f in series]
    return [(p.name, [p]) for p in alone] + folders


def _is_image(path: Path) -> bool:
    try:
        d = pydicom.dcmread(path, stop_before_pixels=True)
    except Exception:  # one of pydicom's broken ones
        return False
    return bool(d.get("Rows"))

"""Write small DICOM series."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write_series(
    folder: Path,
    slices: int = 6,
    skip: tuple[int, ...] = (),
    series: str | None = None,
    prefix: str = "s",
    values: np.ndarray | None = None,
    places: tuple[int, ...] | None = None,
    **fields: object,
) -> None:
    """An axial MR series of noise, 2 x 2 x 3 mm, tilted by 10 degrees, with the given slices left out.

    Other values [slices, 24, 20], places along the stack and header fields can be given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = series or generate_uid()
    cos, sin = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
    normal = np.array([0, -sin, cos])
    rng = np.random.default_rng(0)
    for i in range(slices):
        if i in skip:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        d.PatientName, d.PatientID, d.Modality = "Quzzlewick^Jane", "PID778899", "MR"
        d.PatientBirthDate, d.StudyDate, d.AccessionNumber = "19510203", "20240506", "ACC4711"
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.3", uid, "1.2.4"
        d.InstanceNumber = i + 1
        d.ImagePositionPatient = [float(v) for v in np.array([-20.0, -24.0, 0.0]) + 3.0 * (places or range(slices))[i] * normal]
        d.ImageOrientationPatient = [1, 0, 0, 0, float(cos), float(sin)]
        d.PixelSpacing, d.SliceThickness = [2.0, 2.0], 3.0
        d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = 24, 20, 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        noise = rng.integers(50, 150, (24, 20), dtype=np.uint16)
        d.PixelData = (noise if values is None else values[i].astype(np.uint16)).tobytes()
        for name, value in fields.items():
            setattr(d, name, value)
        pydicom.dcmwrite(folder / f"{prefix}{i:03d}.dcm", d, enforce_file_format=True)


SHAPE = (7, 24, 20)  # slices, rows, columns
SECRETS = {
    "PatientName": "Quzzlewick^Jörgen",
    "PatientID": "MRN-77341",
    "PatientBirthDate": "19510317",
    "StudyDate": "20190823",
    "StudyTime": "071359",
    "AccessionNumber": "ACC-5521",
    "StudyID": "ST-9921",
    "ReferringPhysicianName": "Doctorovich^Ada",
    "InstitutionName": "Hospital Quux",
    "StationName": "STATION-Q",
    "OtherPatientIDs": "OTHER-118",
    "StudyDescription": "follow-up of Quzzlewick",
}


def oblique_series(folder: Path) -> np.ndarray:
    """Seven oblique slices, 1.5 x 2.5 mm every 4 mm, files in shuffled order; returns voxel [column, row, slice] to RAS."""
    write_series(folder, slices=SHAPE[0])
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.15)
    right, down, normal = turn.T
    origin = np.array([-31.25, 12.5, -40.125])
    for i, file in enumerate(sorted(folder.iterdir())):
        header = pydicom.dcmread(file)
        header.ImageOrientationPatient = [f"{v:.10f}" for v in (*right, *down)]
        header.ImagePositionPatient = [f"{v:.8f}" for v in origin + 4.0 * i * normal]
        header.PixelSpacing, header.SpacingBetweenSlices = [1.5, 2.5], 1.0  # a wrong one, as in real headers
        header.SpecificCharacterSet = "ISO_IR 100"
        for keyword, value in SECRETS.items():
            setattr(header, keyword, value)
        file.unlink()
        header.save_as(folder / f"{(3 * i + 2) % SHAPE[0]}.dcm")
    affine = np.eye(4)
    affine[:3] = np.column_stack([2.5 * right, 1.5 * down, 4.0 * normal, origin])
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def slices_by_uid(folder: Path) -> dict[str, pydicom.Dataset]:
    return {str(d.SOPInstanceUID): d for d in (pydicom.dcmread(p) for p in folder.iterdir() if p.suffix == ".dcm")}


def _item(**fields: object) -> Dataset:
    item = Dataset()
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def write_multiframe(folder: Path, values: np.ndarray, places: list[int]) -> None:
    """One enhanced MR file of the same stack, its frames [n, 24, 20] at these places."""
    folder.mkdir(parents=True, exist_ok=True)
    write_series(folder, 1)
    file = folder / "s000.dcm"
    d = pydicom.dcmread(file)
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = EnhancedMRImageStorage
    turn, origin = list(d.ImageOrientationPatient), np.array(d.ImagePositionPatient, float)
    normal = np.cross(np.array(turn[:3], float), np.array(turn[3:], float))
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del d[tag]
    d.NumberOfFrames, d.ImageType = len(places), ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    d.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=turn)],
            PixelMeasuresSequence=[_item(PixelSpacing=[2.0, 2.0], SliceThickness=3.0, SpacingBetweenSlices=3.0)],
        )
    ]
    d.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[float(v) for v in origin + 3.0 * p * normal])]) for p in places
    ]
    d.PixelData = values.astype(np.uint16).tobytes()
    pydicom.dcmwrite(file, d, enforce_file_format=True)

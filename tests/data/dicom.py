"""Write a small DICOM series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write_series(folder: Path, slices: int = 6, skip: tuple[int, ...] = (), series: str | None = None, prefix: str = "s") -> None:
    """An axial MR series of noise, 2 x 2 x 3 mm, tilted by 10 degrees, with the given slices left out."""
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
        d.PatientName, d.PatientID, d.Modality = "Quzzlewick^Jane", "1", "MR"
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.3", uid, "1.2.4"
        d.InstanceNumber = i + 1
        d.ImagePositionPatient = [float(v) for v in np.array([-20.0, -24.0, 0.0]) + 3.0 * i * normal]
        d.ImageOrientationPatient = [1, 0, 0, 0, float(cos), float(sin)]
        d.PixelSpacing, d.SliceThickness = [2.0, 2.0], 3.0
        d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = 24, 20, 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.PixelData = rng.integers(50, 150, (24, 20), dtype=np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"{prefix}{i:03d}.dcm", d, enforce_file_format=True)

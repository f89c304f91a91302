"""A DICOM series as what is derived from it refers to it: its slices by position, and without the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from hrcam_monai.data.dicom_series import check_series, find_series, headers_in, series_of
from hrcam_monai.data.itk_images import FLIP
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.sidecar import read_sidecar
from hrcam_monai.utils.files import files_hash

__all__ = ["PATIENT", "prepared_slices", "slice_spacing", "source_slices", "to_frames"]

# what a derived object needs to know of a source slice; nothing else of its header goes on unless it is asked for
REFERENCE = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
)  # fmt: skip
KEPT = (*REFERENCE, "SliceThickness")
# these must be there, but may be empty
PATIENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
    "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
REMOVED = "patient and study modules emptied; UIDs of the source kept"
OFF_GRID = 0.45  # voxels: scanners round positions, and the nearest voxel is still a slice's own


def source_slices(folder: str | Path, keep_patient: bool = False) -> list[Dataset]:
    """The headers of a DICOM series, sorted along the slices' normal, without the patient unless that is asked for.

    Args:
        folder: folder that holds one series.
        keep_patient: keep the whole header; otherwise only UIDs and geometry stay, the rest is empty.

    Raises:
        ScanError: no such folder, not one complete series of single-frame images, or no frame of reference.

    Example:
        >>> slices = source_slices("series")  # doctest: +SKIP
    """
    path = Path(folder)
    if not path.exists():
        raise ScanError(f"{path}: no such folder; put the series back, or run inference where it lies now.")
    if not path.is_dir():
        raise ScanError(
            f"{path}: is no folder with a DICOM series; only maps of such a series go back to DICOM (--source if `prepare` "
            "made it of one)."
        )
    try:
        files, headers = headers_in(path)
        check_series(series_of(files, headers), least=1)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from None
    return _slices(headers, path, keep_patient)


def prepared_slices(source: str | Path, scan: str, keep_patient: bool = False) -> list[Dataset]:
    """The same of the very series that `prepare` has made a scan of, by the hash in the scan's sidecar.

    Args:
        source: the folder that `prepare` read, with a sub-folder a subject.
        scan: the NIfTI file that was made.
        keep_patient: as in `source_slices`.

    Raises:
        ScanError: no sidecar, the scan was registered, no such series, or what `source_slices` refuses.
    """
    record = read_sidecar(scan)
    if "series" not in record.get("source", {}) or "steps" not in record:
        raise ScanError(f"{scan}: has no sidecar that names a DICOM series; only what `prepare` made of DICOM goes back.")
    if record["steps"]["register"] != "none":
        raise ScanError(f"{scan}: lies on the template, not on its slices; prepare it without --register.")
    folder = Path(source) / record["subject"]
    if not folder.is_dir():
        raise ScanError(f"{folder}: no such folder; put the series back that was prepared.")
    for series in find_series(folder):
        # another patient's may bear the same name and lie in the same place
        if series.slices == record["source"]["slices"] and files_hash(series.files) == record["inputs"]["image"]:
            return _slices([dcmread(f, stop_before_pixels=True) for f in series.files], folder, keep_patient)
    raise ScanError(f"{folder}: does not hold the very series that {scan} was made of; put it back, or prepare it again.")


def _slices(headers: Sequence[Dataset], path: Path, keep_patient: bool) -> list[Dataset]:
    """Headers of one series cleaned and sorted; see `source_slices`."""
    slices = []
    for header in headers:
        missing = [keyword for keyword in REFERENCE if keyword not in header]
        if missing:
            raise ScanError(f"{path}: a DICOM file has no {', '.join(missing)}; export the original slices again.")
        known = Dataset()
        known.update({element.tag: element for element in header if keep_patient or element.keyword in KEPT})
        for keyword in PATIENT:
            if keyword not in known:
                setattr(known, keyword, "")
        if not keep_patient:
            known.PatientIdentityRemoved, known.DeidentificationMethod = "YES", REMOVED
        slices.append(known)
    right, down = np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)
    normal = np.cross(right, down)
    slices.sort(key=lambda s: float(normal @ np.array(s.ImagePositionPatient, dtype=float)))
    for known in slices:
        if not known.get("SliceThickness"):
            known.SliceThickness = f"{slice_spacing(slices) or 1:.6f}"
    return slices


def slice_spacing(slices: Sequence[Dataset]) -> float:
    """Mean distance of sorted slices, mm, by their positions; 0 of a single one."""
    first, last = (np.array(s.ImagePositionPatient, dtype=float) for s in (slices[0], slices[-1]))
    return float(np.linalg.norm(last - first)) / max(len(slices) - 1, 1)


def to_frames(volume: np.ndarray, affine: np.ndarray, slices: Sequence[Dataset]) -> np.ndarray:
    """The voxels of a volume in the order of the slices' pixels, found by position: nothing is interpolated.

    Args:
        volume: [X, Y, Z] on the grid of the series, its axes in any order and direction.
        affine: voxel to RAS+ world, mm, [4, 4]. DICOM's world is LPS+.
        slices: F headers of R x C pixels.

    Returns:
        [F, R, C], of the volume's dtype.

    Raises:
        ValueError: another number of slices or pixels; slices that do not lie on the volume's grid.

    Example:
        >>> frames = to_frames(heat, affine, source_slices("series"))  # doctest: +SKIP
    """
    first = slices[0]
    rows, columns = int(first.Rows), int(first.Columns)
    if volume.ndim != 3 or volume.size != len(slices) * rows * columns:
        has = " x ".join(map(str, volume.shape))
        raise ValueError(
            f"the series has {len(slices)} slices of {columns} x {rows} pixels, its map {has} voxels; "
            "it changed after inference: run inference again."
        )
    to_voxel = np.linalg.inv(affine) @ FLIP
    corners = np.array([s.ImagePositionPatient for s in slices], dtype=float) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    right, down = np.reshape(first.ImageOrientationPatient, (2, 3)).astype(float)
    height, width = map(float, first.PixelSpacing)
    steps = np.stack([to_voxel[:3, :3] @ down * height, to_voxel[:3, :3] @ right * width])  # one row, one column further
    start, step = np.rint(corners).astype(int), np.rint(steps).astype(int)
    ends = np.array([[0, 0], [0, columns - 1], [rows - 1, 0], [rows - 1, columns - 1]])
    voxels = start[:, None] + ends @ step  # [F, 4, 3]: the corners of each slice
    off = np.abs(corners[:, None] + ends @ steps - voxels).max()
    outside = (voxels < 0).any() or (voxels >= volume.shape).any()
    if off > OFF_GRID or outside or len(np.unique(start, axis=0)) < len(slices) or np.linalg.norm(np.cross(*step)) != 1:
        raise ValueError("the slices do not lie on the grid of the map; the series changed after inference: run inference again.")
    index = []
    for axis in range(3):  # each index varies along one axis of the frames: small arrays that numpy broadcasts
        i = start[:, axis, None, None]
        i = i + step[0, axis] * np.arange(rows)[:, None] if step[0, axis] else i
        index.append(i + step[1, axis] * np.arange(columns) if step[1, axis] else i)
    return volume[tuple(index)]

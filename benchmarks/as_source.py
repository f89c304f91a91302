"""A simulated cohort as a hospital or an archive would hand it over: a folder of DICOM, or a BIDS dataset.

What `hrcam_monai prepare` starts from, to try the whole way before scans are there. Each subject lies in a scanner's frame of its
own, turned and shifted; DICOM has a localiser beside it, and headers with a name. Masks and regions lie beside the source.

    python benchmarks/as_source.py --cohort work/parkinson_nm --output work/parkinson_nm_source --layout dicom
"""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import pydicom
import typer
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from tqdm import tqdm

from hrcam_monai.data import load_manifest
from hrcam_monai.data.writing import write_volume

TURN, SHIFT = 10.0, 12.0  # degrees about each axis and mm along it, at most: how heads lie in a scanner
NAME = "Quzzlewick^Jane"  # no one's: it must not be found in anything that is made of the scans
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Layout(StrEnum):
    """How the scans are laid out."""

    DICOM = "dicom"
    BIDS = "bids"


def scanner_frame(seed: int) -> np.ndarray:
    """From the world of the cohort to that of one subject's scanner, [4, 4] mm."""
    rng = np.random.default_rng(seed)
    turn = nib.eulerangles.euler2mat(*np.deg2rad(rng.uniform(-TURN, TURN, 3)))
    return from_matvec(turn, rng.uniform(-SHIFT, SHIFT, 3))


def write_series(volume: np.ndarray, affine: np.ndarray, folder: Path, description: str, subject: str, **fields: Any) -> None:
    """One MR series, a file a slice along the last axis.

    Args:
        volume: [X, Y, Z] of whole numbers.
        affine: voxel to RAS+ world, mm.
        folder: made.
        description: of the series.
        subject: PatientID.
        fields: others of the header: those that the subject's series share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    to_lps, sizes, series = LPS @ affine, voxel_sizes(affine), generate_uid()
    directions = (to_lps[:3, :2] / sizes[:2]).T.ravel()
    for k in range(volume.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        d.PatientName, d.PatientID, d.PatientBirthDate, d.StudyDate = NAME, subject, "19510203", "20240506"
        d.Modality, d.ImageType, d.SeriesDescription = "MR", ["ORIGINAL", "PRIMARY", "M"], description
        d.SeriesInstanceUID = series
        d.InstanceNumber = k + 1
        d.ImagePositionPatient = [f"{v:.8f}" for v in apply_affine(to_lps, [0, 0, k])]
        d.ImageOrientationPatient = [f"{v:.10f}" for v in directions]
        d.PixelSpacing, d.SliceThickness = [f"{sizes[1]:.6f}", f"{sizes[0]:.6f}"], f"{sizes[2]:.6f}"
        d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = volume.shape[1], volume.shape[0], 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
        d.PixelData = np.ascontiguousarray(volume[:, :, k].T).astype("<i2").tobytes()
        for name, value in fields.items():
            setattr(d, name, value)
        pydicom.dcmwrite(folder / f"IM{k:04d}", d, enforce_file_format=True)


def write_subject(entry: dict[str, Any], output: Path, layout: Layout, frame: np.ndarray) -> None:
    """One subject's scan in the source; its label images in `masks` and `regions`."""
    subject, image = entry["subject"], nib.load(entry["image"])
    volume, affine = np.asarray(image.dataobj), frame @ image.affine
    if layout is Layout.DICOM:
        folder = output / "source" / subject
        shared = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
        write_series(volume[:, :, :3], affine, folder / "1", "localizer", subject, **shared)
        description = "NM GRE-MT" if "NM" in Path(entry["image"]).name else "T1 post"
        write_series(volume, affine, folder / "2", description, subject, **shared)
    else:
        folder = output / "source" / subject / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(volume, affine, folder / f"{subject}_ce-gd_T1w.nii.gz")
    for key, place in (("mask", "masks"), ("regions", "regions")):
        if key in entry:
            (output / place).mkdir(exist_ok=True)
            label = nib.load(entry[key])
            write_volume(np.asarray(label.dataobj), frame @ label.affine, output / place / f"{subject}.nii.gz")


def write_table(entries: list[dict[str, Any]], path: Path, delimiter: str) -> None:
    """The labels: participant_id, group, age, grade."""
    with path.open("w", newline="") as stream:
        table = csv.writer(stream, delimiter=delimiter)
        table.writerow(["participant_id", "group", "age", "grade"])
        table.writerows([e["subject"], e["class"], e.get("age", "n/a"), e.get("grade", "n/a")] for e in entries)


def as_source(cohort: Path, output: Path, layout: Layout, seed: int = 0) -> list[dict[str, Any]]:
    """Write `source/`, its label images and, for DICOM, `labels.csv`; the entries that were written."""
    manifest = load_manifest(cohort, strict=True)
    entries = [e | {"class": manifest.classes[e["label"]]} for listed in manifest.entries.values() for e in listed]
    entries.sort(key=lambda e: e["subject"])
    for i, entry in enumerate(tqdm(entries, desc=layout, unit="subject")):
        write_subject(entry, output, layout, scanner_frame(seed + i))
    dicom = layout is Layout.DICOM
    write_table(entries, output / ("labels.csv" if dicom else "source/participants.tsv"), "," if dicom else "\t")
    return entries


def main(
    cohort: Annotated[Path, typer.Option(help="Folder that `hrcam_monai simulate` wrote.")],
    output: Annotated[Path, typer.Option(help="Folder to write.")],
    layout: Annotated[Layout, typer.Option(help="dicom or bids.")],
    seed: Annotated[int, typer.Option(help="Of the scanners' frames.")] = 0,
) -> None:
    """Write a simulated cohort as a source of `prepare`."""
    as_source(cohort, output, layout, seed)


if __name__ == "__main__":
    typer.run(main)

from __future__ import annotations

import json
import shutil

import numpy as np
import pydicom
import pytest

from hrcam_monai.data import ScanError, read_scan
from hrcam_monai.data.dicom_series import find_series
from hrcam_monai.data.series import prepared_slices, slice_spacing, source_slices, to_frames
from hrcam_monai.data.sidecar import TOOL
from hrcam_monai.utils.files import files_hash
from tests.data.dicom import SECRETS, SHAPE, oblique_series, slices_by_uid, write_series


def assert_own_pixels(folder):
    """What the reader of inference makes of the files, and the way back to the slices, agree on every pixel."""
    scan, slices, sources = read_scan(folder), source_slices(folder), slices_by_uid(folder)
    for frame, header in zip(to_frames(scan[0].numpy(), scan.affine.numpy(), slices), slices, strict=True):
        np.testing.assert_array_equal(frame, sources[header.SOPInstanceUID].pixel_array)


def test_slices_come_along_their_normal_and_without_the_patient(tmp_path):
    oblique_series(tmp_path)
    slices = source_slices(tmp_path)
    assert [s.SOPInstanceUID for s in slices] == sorted(
        slices_by_uid(tmp_path), key=lambda uid: int(slices_by_uid(tmp_path)[uid].InstanceNumber)
    )
    assert slice_spacing(slices) == pytest.approx(4.0)
    for header in slices:
        assert not any(value in str(header) for value in SECRETS.values())
    assert source_slices(tmp_path, keep_patient=True)[0].PatientID == SECRETS["PatientID"]


def test_the_scan_comes_back_to_its_slices(tmp_path):
    oblique_series(tmp_path)
    assert_own_pixels(tmp_path)


@pytest.mark.parametrize("slices", [1, 2])
def test_few_slices(tmp_path, slices):
    write_series(tmp_path, slices)
    assert_own_pixels(tmp_path)


def test_uneven_gaps(tmp_path):
    """No grid of voxels fits them: neither is the scan read, nor do maps go back."""
    write_series(tmp_path, slices=12)
    for path in sorted(tmp_path.iterdir())[6:]:
        header = pydicom.dcmread(path)
        normal = np.cross([1, 0, 0], np.array(header.ImageOrientationPatient[3:], dtype=float))
        header.ImagePositionPatient = [float(v) for v in np.array(header.ImagePositionPatient, dtype=float) + 1.2 * normal]
        header.save_as(path)
    for read in (read_scan, source_slices):
        with pytest.raises(
            ScanError, match="its slices are no straight, even stack, so no grid of voxels fits them; lay them on a grid"
        ):
            read(tmp_path)


def test_no_thickness_is_the_spacing(tmp_path):
    oblique_series(tmp_path)
    for path in tmp_path.iterdir():
        header = pydicom.dcmread(path)
        del header.SliceThickness
        header.save_as(path)
    assert float(source_slices(tmp_path)[0].SliceThickness) == 4.0


def test_another_grid(tmp_path):
    affine = oblique_series(tmp_path)
    slices, volume = source_slices(tmp_path), np.zeros(SHAPE[::-1])
    with pytest.raises(ValueError, match=r"^the series has 7 slices of 20 x 24 pixels, its map 20 x 24 x 6 voxels; it changed"):
        to_frames(volume[..., 1:], affine, slices)
    for wrong in (np.eye(4), affine @ np.diag([1, 1, 1.2, 1]), affine @ np.diag([1, -1, 1, 1])):
        with pytest.raises(ValueError, match=r"^the slices do not lie on the grid of the map; the series changed after"):
            to_frames(volume, wrong, slices)


def test_no_series(tmp_path):
    with pytest.raises(ScanError, match=r"gone: no such folder; put the series back, or run inference where it lies now\.$"):
        source_slices(tmp_path / "gone")
    (tmp_path / "a.nii").touch()
    with pytest.raises(ScanError, match=r"a.nii: is no folder with a DICOM series; only maps of such a series go back to DICOM"):
        source_slices(tmp_path / "a.nii")


def test_the_series_that_a_scan_was_made_of(tmp_path):
    write_series(tmp_path / "s" / "1", slices=6, SeriesDescription="T1 post")
    write_series(tmp_path / "s" / "2", slices=6, SeriesDescription="T1 post")  # another of the same name and place
    scan, sidecar = str(tmp_path / "s.nii.gz"), tmp_path / "s.json"
    with pytest.raises(ScanError, match=r"s.nii.gz: has no sidecar that names a DICOM series; only what `prepare` made of DICOM"):
        prepared_slices(tmp_path, scan)
    first = find_series(tmp_path / "s" / "1")[0]
    record = {"tool": TOOL, "subject": "s", "source": {"series": "T1 post", "slices": 6, "files": 6}}
    record |= {"inputs": {"image": files_hash(first.files)}, "steps": {"register": "none"}}
    sidecar.write_text(json.dumps(record))
    uids = {pydicom.dcmread(f).SOPInstanceUID for f in first.files}
    assert {h.SOPInstanceUID for h in prepared_slices(tmp_path, scan)} == uids
    shutil.rmtree(tmp_path / "s" / "1")
    with pytest.raises(ScanError, match=r"s: does not hold the very series that .*s.nii.gz was made of; put it back, or prepare"):
        prepared_slices(tmp_path, scan)
    with pytest.raises(ScanError, match=r"gone/s: no such folder; put the series back that was prepared."):
        prepared_slices(tmp_path / "gone", scan)
    sidecar.write_text(json.dumps(record | {"steps": {"register": "affine"}}))
    with pytest.raises(ScanError, match="lies on the template, not on its slices; prepare it without --register."):
        prepared_slices(tmp_path, scan)

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data.nifti import nifti_affine
from hrcam_monai.data.reading import read_scan
from hrcam_monai.data.unusual import UNUSUAL, unusual
from hrcam_monai.handlers.predictions import PredictionWriter
from hrcam_monai.report.page import sentence
from hrcam_monai.transforms import LoadScand
from tests.data.dicom import write_series

VALUES = np.random.default_rng(0).normal(500, 10, (8, 9, 7)).astype(np.float32)


def saved(path, sides=(1.0, 1.0, 1.2), turn=(0, 0, 0), values=VALUES):
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(*turn) * sides, [1, 2, 3])
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, ""),
        ({"sides": (0.9, 0.9, 7.0)}, "slices of 7 mm, pixels of 0.9 x 0.9 mm"),
        ({"sides": (1.0, 2.0, 2.5)}, "voxels of 1 x 2 x 2.5 mm"),
        ({"turn": (0.1, 0, 0)}, ""),
        ({"turn": (0, 0.6, 0)}, "taken at 34 degrees"),
        ({"values": VALUES - 1500}, "values down to -10"),
        ({"values": VALUES[..., :1]}, ""),
    ],
)
def test_what_is_told_of_a_scan(tmp_path, options, told):
    found = unusual(read_scan(saved(tmp_path / "a.nii", **options)))
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_a_file_that_does_not_say_how_it_lies_is_told_and_read_by_the_standard(tmp_path):
    """nibabel would put it about its middle, left and right turned over; the standard's first method does neither."""
    image = nib.Nifti1Image(VALUES, None)
    image.header.set_zooms((2.0, 2.0, 3.0))
    nib.save(image, tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.affine, np.diag([2.0, 2.0, 3.0, 1.0]))
    np.testing.assert_array_equal(nifti_affine(nib.load(tmp_path / "a.nii").header), np.diag([2.0, 2.0, 3.0, 1.0]))
    assert scan.meta[UNUSUAL] == "no sform and no qform, so left and right are not known"
    np.save(tmp_path / "a.npy", VALUES)
    assert unusual(read_scan(tmp_path / "a.npy")) == "an array, which tells no voxel size: 1 mm is taken"


def test_what_a_dicom_header_marks_is_told(tmp_path):
    write_series(tmp_path / "plain")
    write_series(tmp_path / "odd", ImageType=["DERIVED", "SECONDARY"], PhotometricInterpretation="MONOCHROME1")
    assert unusual(read_scan(tmp_path / "plain")) == ""
    assert unusual(read_scan(tmp_path / "odd")) == "marked as a derived image; stored as a negative (MONOCHROME1)"


def test_the_table_and_the_page_tell_it(tmp_path):
    item = LoadScand("image")({"image": str(saved(tmp_path / "a.nii", (0.9, 0.9, 7.0))), "subject": "a"})
    assert item[UNUSUAL] == "slices of 7 mm, pixels of 0.9 x 0.9 mm"
    item |= {
        "predicted": 0,
        "probabilities": [0.9, 0.1],
        "logits": [1.0, 0.0],
        "head": "stripped already",
        "input_check": "as trained",
    }
    writer = PredictionWriter(tmp_path, ["a", "b"], {})
    writer.pending = [item]
    writer._settle(None, 0)  # type: ignore[arg-type]
    assert writer.rows[0][UNUSUAL] == item[UNUSUAL]
    assert sentence(writer.rows[0]) == "Slices of 7 mm, pixels of 0.9 x 0.9 mm."
    assert sentence({"input_check": "as trained"}) == ""

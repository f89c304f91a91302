from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from hrcam_monai.data.dicom_header import blotted, frames_of


def header(**fields):
    made = Dataset()
    for tag, value in fields.items():
        setattr(made, tag, value)
    return made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1 Smith post", "T1 *** post"),
        ("T1 JANE", "T1 ***"),
        ("MR 4711-9 head", "MR *** head"),
        ("head 2024-05-06", "head ***"),
        ("head 19510203", "head ***"),
        ("T1 MPRAGE 1.0 mm", "T1 MPRAGE 1.0 mm"),
    ],
)
def test_names_numbers_and_dates_are_blotted_out_and_the_rest_stays(text, told):
    assert blotted(text, header(PatientName="Smith^Jane", PatientID="4711-9")) == told


def test_a_file_without_frames_is_one_slice_and_scales_by_one_unless_it_says_so():
    (found,) = frames_of(header(ImagePositionPatient=[1, 2, 3], PixelSpacing=[0.5, 0.75]))
    assert list(found.position) == [1, 2, 3]
    assert found.pixel == (0.5, 0.75)
    assert found.scale == (1.0, 0.0)
    (scaled,) = frames_of(header(RescaleSlope=2, RescaleIntercept=-10))
    assert scaled.scale == (2.0, -10.0)
    assert scaled.pixel == ()

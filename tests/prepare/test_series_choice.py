from __future__ import annotations

import pytest

from hrcam_monai.data import ScanError
from hrcam_monai.data.dicom_series import find_series
from hrcam_monai.prepare.series_choice import choose_series
from tests.data.dicom import write_series


def test_series_are_chosen_by_rules(tmp_path):
    write_series(tmp_path, 3, prefix="a", SeriesDescription="localizer")
    write_series(tmp_path, 6, prefix="b", SeriesDescription="T1 MPRAGE")
    write_series(tmp_path, 7, prefix="c", SeriesDescription="T1 MPRAGE post", ProtocolName="head")
    write_series(tmp_path, 9, prefix="d", SeriesDescription="T1 post MPR", ImageType=["DERIVED", "SECONDARY"])
    write_series(tmp_path, 9, prefix="e", SeriesDescription="T1 post", Modality="CT")
    found = find_series(tmp_path)
    assert len(found) == 5
    for pattern, description, remark in (
        (None, "T1 MPRAGE post", None),
        ("mprage$", "T1 MPRAGE", None),
        ("T1.*(post|ce)", "T1 MPRAGE post", None),
        ("MPR$", "T1 post MPR", "takes 'T1 post MPR' (MR, 9 slices), marked as a derived image, since --series names it"),
        ("head", "T1 MPRAGE post", None),
        ("local", "localizer", "takes 'localizer' (MR, 3 slices), marked as a localiser, since --series names it"),
    ):
        series, said = choose_series(found, pattern)
        assert (series.description, said) == (description, remark)
    with pytest.raises(ScanError) as error:
        choose_series(found, "FLAIR")
    assert str(error.value) == (
        "no MR series matches --series 'FLAIR'; there are: 'T1 MPRAGE post' (MR, 7 slices); 'T1 MPRAGE' (MR, 6 slices); "
        "'T1 post MPR' (MR, 9 slices), a derived image; 'T1 post' (CT, 9 slices); 'localizer' (MR, 3 slices), a localiser; "
        "name the one to use with --series."
    )


def test_equal_series_are_not_guessed_at(tmp_path):
    for prefix, name in (("a", "T1 pre"), ("b", "T1 post")):
        write_series(tmp_path, prefix=prefix, SeriesDescription=name)
    with pytest.raises(ScanError) as error:
        choose_series(find_series(tmp_path))
    assert str(error.value) == (
        "2 series fit equally well: 'T1 post' (MR, 6 slices), 'T1 pre' (MR, 6 slices); narrow --series to one, or move the "
        "others out of the folder."
    )

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from hrcam_monai.data import ScanError
from hrcam_monai.data.dicom_series import choose_series, find_series, read_series
from hrcam_monai.data.itk_images import to_array
from tests.data.dicom import write_multiframe, write_series


def only(folder):
    return read_series(choose_series(find_series(folder))[0])


def test_an_oblique_series_lies_where_its_headers_say(tmp_path):
    write_series(tmp_path / "s", prefix="z")
    array, affine = to_array(only(tmp_path / "s"))
    assert array.shape == (20, 24, 6)
    for k, file in enumerate(sorted((tmp_path / "s").iterdir())):
        d = pydicom.dcmread(file)
        position, turn = np.array(d.ImagePositionPatient, float), np.array(d.ImageOrientationPatient, float)
        for column, row in ((0, 0), (19, 0), (7, 23)):
            lps = position + column * d.PixelSpacing[1] * turn[:3] + row * d.PixelSpacing[0] * turn[3:]
            ras = (affine @ [column, row, k, 1])[:3]
            np.testing.assert_allclose(ras, lps * [-1, -1, 1], atol=1e-3)
        np.testing.assert_array_equal(array[:, :, k], d.pixel_array.T)


def test_files_in_any_order_and_depth_are_one_stack(tmp_path):
    write_series(tmp_path / "a" / "b", places=(5, 3, 1, 0, 2, 4))
    write_series(tmp_path / "straight")
    _, affine = to_array(only(tmp_path / "a"))
    np.testing.assert_allclose(affine, to_array(only(tmp_path / "straight"))[1], atol=1e-6)


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


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({"skip": (3,)}, r"1 slice\(s\) missing \(gap of 6.0 mm, others 3.0 mm\); export the series again\."),
        ({"places": (0, 1, 2, 2, 3, 4)}, "two slices lie at the same place; remove the doubled files or split the series"),
        ({"places": (0, 1, 2, 0, 1, 2)}, r"holds 2 volumes \(4-D: 2 slices at each place\); export the one volume to use"),
        (
            {"places": (0, 1, 2, 3, 4, 5.4)},
            "slices that are no straight, even stack in order, so itk would misplace it; convert it",
        ),
        ({"slices": 2}, r"has 2 slice\(s\), and a volume needs three or more; choose another with --series"),
        (
            {"PixelData": b"\0" * 10},
            r"its pixels cannot be decoded \(cut short, colour, .* copy it again, or convert it with dcm2niix",
        ),
    ],
)
def test_bad_stacks(tmp_path, written, fault):
    write_series(tmp_path, **written, SeriesDescription="T1")
    with pytest.raises(ScanError, match=r"^series 'T1' \(MR, \d slices\): .*" + fault):
        only(tmp_path)


def test_a_file_cut_in_its_pixels(tmp_path):
    write_series(tmp_path)
    whole = (tmp_path / "s003.dcm").read_bytes()
    (tmp_path / "s003.dcm").write_bytes(whole[:-100])
    with pytest.raises(ScanError, match="its pixels cannot be decoded"):
        only(tmp_path)


def test_mixed_orientations(tmp_path):
    write_series(tmp_path, prefix="a", series="1.2.9")
    write_series(tmp_path, prefix="b", series="1.2.9", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(ScanError, match=r"slices differ in orientation \(a localiser\?\); keep the slices of one stack"):
        only(tmp_path)


def test_a_sheared_stack(tmp_path):
    for i in range(4):
        position = [-20.0 + 2 * i, -24.0 - 3 * i * np.sin(np.deg2rad(10)), 3 * i * np.cos(np.deg2rad(10))]
        write_series(tmp_path, 1, prefix=f"s{i}", series="1.2.9", ImagePositionPatient=[round(float(v), 6) for v in position])
    with pytest.raises(ScanError, match="slices that are no straight, even stack in order"):
        only(tmp_path)


def test_multiframe_is_read_where_itk_places_it_right(tmp_path):
    values = np.random.default_rng(0).integers(1, 900, (6, 24, 20))
    write_multiframe(tmp_path / "even", values, list(range(6)))
    array, affine = to_array(only(tmp_path / "even"))
    write_series(tmp_path / "single", values=values)
    expected, expected_affine = to_array(only(tmp_path / "single"))
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(affine, expected_affine, atol=1e-3)
    write_multiframe(tmp_path / "mixed", values, [0, 2, 1, 3, 4, 5])
    with pytest.raises(ScanError, match="a multi-frame file whose frames are no straight, even stack in order.*dcm2niix"):
        only(tmp_path / "mixed")
    write_multiframe(tmp_path / "4d", values, [0, 1, 2, 0, 1, 2])
    with pytest.raises(ScanError, match=r"holds 2 volumes \(4-D"):
        only(tmp_path / "4d")


def test_what_identifies_the_patient_is_blotted_out_of_descriptions(tmp_path):
    write_series(tmp_path, SeriesDescription="T1 quzzlewick 2024-05-06 PID778899 gd")
    assert find_series(tmp_path)[0].description == "T1 *** *** *** gd"


def test_nothing_to_read(tmp_path):
    with pytest.raises(ScanError, match="holds no DICOM file; see that the export is there, with its files uncompressed"):
        find_series(tmp_path)
    write_series(tmp_path, 3)
    (tmp_path / "s001.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL")
    with pytest.raises(ScanError, match="DICOM file 2 of 3 by name cannot be read; copy it again"):
        find_series(tmp_path)


@pytest.mark.real_data
def test_a_real_series(real_data):
    array, affine = to_array(only(real_data / "dicom_series"))
    assert array.shape == (256, 256, 20)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [0.859, 0.859, 7.0], atol=0.05)

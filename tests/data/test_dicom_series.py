from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
import torch

from hrcam_monai.data import ScanError, read_scan
from hrcam_monai.data.dicom_series import find_series
from hrcam_monai.data.itk_images import to_array
from hrcam_monai.prepare.inputs import Choice, Inputs, read_image
from hrcam_monai.prepare.series_choice import choose_series
from hrcam_monai.prepare.steps import Steps
from hrcam_monai.prepare.subject import try_subject
from tests.data.dicom import write_multiframe, write_series


def only(folder):
    """Array and affine of the folder's series, as `prepare` chooses and names it."""
    return to_array(read_image(Inputs(choose_series(find_series(folder))[0], None, {})))


def test_an_oblique_series_lies_where_its_headers_say(tmp_path):
    write_series(tmp_path / "s", prefix="z")
    array, affine = only(tmp_path / "s")
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
    _, affine = only(tmp_path / "a")
    np.testing.assert_allclose(affine, only(tmp_path / "straight")[1], atol=1e-6)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({"skip": (3,)}, r"1 slice\(s\) missing \(gap of 6.0 mm, others 3.0 mm\); export the series again\."),
        ({"places": (0, 1, 2, 2, 3, 4)}, "two slices lie at the same place; remove the doubled files or split the series"),
        ({"places": (0, 1, 2, 0, 1, 2)}, r"holds 2 volumes \(4-D: 2 slices at each place\); export the one volume to use"),
        (
            {"places": (0, 1, 2, 3, 4, 5.4)},
            "its slices are no straight, even stack, so no grid of voxels fits them; lay them on a grid",
        ),
        ({"slices": 2}, r"has 2 slice\(s\), and a volume needs three or more; choose another with --series"),
        (
            {"PixelData": b"\0" * 10},
            r"pixels of DICOM file 1 of 6 along the stack are cut short; copy the series again from its source",
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
    with pytest.raises(ScanError, match="pixels of DICOM file 4 of 6 along the stack are cut short"):
        only(tmp_path)


@pytest.mark.parametrize("fields", [{"NumberOfFrames": "1A"}, {"ImagePositionPatient": [1.0, 2.0]}, {"PixelSpacing": [2.0]}])
def test_headers_that_make_no_sense_are_told_and_not_quoted(tmp_path, fields):
    write_series(tmp_path / "bad")
    for file in (tmp_path / "bad").iterdir():
        header = pydicom.dcmread(file)
        for name, value in fields.items():
            header.add_new(name, "LO" if isinstance(value, str) else header[name].VR, value)
        header.save_as(file)
    with pytest.raises(ScanError) as error:
        read_scan(tmp_path / "bad")
    assert "1A" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'bad'}: ")
    assert str(error.value).count(str(tmp_path)) == 1
    write_series(tmp_path / "good", 7)  # and it costs only itself
    assert choose_series(find_series(tmp_path))[0].slices == 7


def test_mixed_orientations(tmp_path):
    write_series(tmp_path, prefix="a", series="1.2.9")
    write_series(tmp_path, prefix="b", series="1.2.9", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(ScanError, match=r"slices differ in orientation \(a localiser\?\); keep the slices of one stack"):
        only(tmp_path)


def test_a_sheared_stack(tmp_path):
    for i in range(4):
        position = [-20.0 + 2 * i, -24.0 - 3 * i * np.sin(np.deg2rad(10)), 3 * i * np.cos(np.deg2rad(10))]
        write_series(tmp_path, 1, prefix=f"s{i}", series="1.2.9", ImagePositionPatient=[round(float(v), 6) for v in position])
    with pytest.raises(ScanError, match="its slices are no straight, even stack, so no grid of voxels fits them"):
        only(tmp_path)


def test_multiframe_is_read_in_the_order_of_its_places(tmp_path):
    values = np.random.default_rng(0).integers(1, 900, (6, 24, 20))
    write_multiframe(tmp_path / "even", values, list(range(6)))
    array, affine = only(tmp_path / "even")
    write_series(tmp_path / "single", values=values)
    expected, expected_affine = only(tmp_path / "single")
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(affine, expected_affine, atol=1e-3)
    write_multiframe(tmp_path / "mixed", values[[0, 2, 1, 3, 4, 5]], [0, 2, 1, 3, 4, 5])
    np.testing.assert_array_equal(only(tmp_path / "mixed")[0], expected)
    np.testing.assert_allclose(only(tmp_path / "mixed")[1], affine)
    write_multiframe(tmp_path / "lost", values[:5], [0, 1, 2, 4, 5])
    with pytest.raises(ScanError, match=r"1 slice\(s\) missing"):
        only(tmp_path / "lost")
    write_multiframe(tmp_path / "4d", values, [0, 1, 2, 0, 1, 2])
    with pytest.raises(ScanError, match=r"holds 2 volumes \(4-D"):
        only(tmp_path / "4d")


NO_GREY = r"its pixels are not grey values of 8, 16 or 32 bits; export the original slices again\."


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"PatientID": "another"}, r"holds slices of 2 patients; export each patient's series again\."),
        ({"PixelSpacing": [1.0, 1.0]}, r"slices differ in PixelSpacing; keep the slices of one stack\."),
        ({"Rows": 20, "PixelData": b"\1" * 800}, r"slices differ in size \(20 x 20, 20 x 24\); keep the slices of one stack\."),
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            NO_GREY,
        ),
        ({"BitsAllocated": 12}, NO_GREY),
        ({"SamplesPerPixel": 3}, r"its pixels are in colour; export the original slices, not derived images\."),
    ],
)
def test_slices_that_do_not_belong_together(tmp_path, fields, fault):
    write_series(tmp_path, series="1.2.9", skip=(0,))
    write_series(tmp_path, 1, series="1.2.9", prefix="other", **fields)
    with pytest.raises(ScanError, match=f"^{tmp_path}: {fault}$"):
        read_scan(tmp_path)


def test_no_pixel_spacing(tmp_path):
    write_series(tmp_path)
    for file in tmp_path.iterdir():
        header = pydicom.dcmread(file)
        del header.PixelSpacing
        header.save_as(file)
    with pytest.raises(ScanError, match=r"no PixelSpacing, so its size is unknown; export the original slices again\.$"):
        read_scan(tmp_path)


@pytest.mark.parametrize("tag", ["SliceThickness", "SequenceName", "SeriesNumber", "EchoTime"])
def test_headers_may_differ_in_what_does_not_place_a_slice(tmp_path, tag):
    write_series(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    for i, file in enumerate(sorted((tmp_path / "other").iterdir())):
        header = pydicom.dcmread(file)
        setattr(header, tag, f"fl3d{i}" if tag == "SequenceName" else 3 + i // 3)
        header.save_as(file)
    one, other = read_scan(tmp_path / "one"), read_scan(tmp_path / "other")
    assert torch.equal(one.as_tensor(), other.as_tensor())
    torch.testing.assert_close(one.affine, other.affine)


@pytest.mark.parametrize("slope", [0.001, 200])
def test_each_slice_has_its_own_scale(tmp_path, slope):
    write_series(tmp_path, series="1.2.9")
    for i, file in enumerate(sorted(tmp_path.iterdir())):
        header = pydicom.dcmread(file)
        header.RescaleSlope, header.RescaleIntercept = (slope, -7) if i else (1, 0)
        header.save_as(file)
    scan = read_scan(tmp_path)
    for i, file in enumerate(sorted(tmp_path.iterdir())):
        pixels = pydicom.dcmread(file).pixel_array.T
        np.testing.assert_allclose(scan[0, ..., i], pixels * slope - 7 if i else pixels, rtol=1e-6)


def test_frames_of_one_file_have_each_their_own_scale(tmp_path):
    values = np.random.default_rng(0).integers(1, 900, (6, 24, 20))
    write_multiframe(tmp_path / "one", values, list(range(6)))
    file = next((tmp_path / "one").iterdir())
    header = pydicom.dcmread(file)
    for i, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        scale = pydicom.Dataset()
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 0.5 + i, -i, "US"
        frame.PixelValueTransformationSequence = [scale]
    header.save_as(file)
    scan = read_scan(tmp_path / "one")
    for i in range(6):
        np.testing.assert_allclose(scan[0, ..., i], values[i].T * (0.5 + i) - i, rtol=1e-6)


def test_values_whose_display_is_turned_over_are_as_stored(tmp_path):
    write_series(tmp_path / "one", PhotometricInterpretation="MONOCHROME1")
    write_series(tmp_path / "two")
    assert torch.equal(read_scan(tmp_path / "one").as_tensor(), read_scan(tmp_path / "two").as_tensor())


def test_files_without_preamble_are_slices_too(tmp_path):
    write_series(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "bare")
    for file in sorted((tmp_path / "bare").iterdir())[::5]:  # the first and the last
        content = file.read_bytes()
        file.write_bytes(content[132:])
    (tmp_path / "bare" / "notes").write_bytes(b"\x08\x00 of what was scanned")
    assert torch.equal(read_scan(tmp_path / "bare").as_tensor(), read_scan(tmp_path / "whole").as_tensor())
    assert only(tmp_path / "bare")[0].shape[-1] == 6


def test_what_identifies_the_patient_is_blotted_out_of_descriptions(tmp_path):
    write_series(tmp_path, SeriesDescription="T1 quzzlewick 2024-05-06 PID778899 gd")
    assert find_series(tmp_path)[0].description == "T1 *** *** *** gd"


def test_nothing_to_read(tmp_path):
    with pytest.raises(ScanError, match="holds no DICOM file; see that the export is there, with its files uncompressed"):
        find_series(tmp_path)
    write_series(tmp_path, 3)
    (tmp_path / "s001.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL")
    with pytest.raises(ScanError, match=f"^{tmp_path}: DICOM file 2 of 3 by name cannot be read, or names no series; copy"):
        find_series(tmp_path)


@pytest.mark.real_data
def test_a_real_series(real_data):
    array, affine = only(real_data / "dicom_series")
    assert array.shape == (256, 256, 20)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [0.859, 0.859, 7.0], atol=0.05)


def damaged(file, how):
    """One slice of a series damaged in one of many ways."""
    content = file.read_bytes()
    if how in ("cut", "noise", "empty"):
        file.write_bytes({"cut": content[:-300], "noise": content[:140] + bytes(range(256)), "empty": b""}[how])
        return
    header = pydicom.dcmread(file)
    if how == "jpeg":
        header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
        header.PixelData = pydicom.encaps.encapsulate([bytes(range(200))])
        header["PixelData"].is_undefined_length = True
    elif how == "palette":
        header.PhotometricInterpretation = "PALETTE COLOR"
    else:
        delattr(header, how)
    header.save_as(file)


@pytest.mark.parametrize("how", ["cut", "noise", "empty", "jpeg", "palette", "Rows", "PixelSpacing", "ImagePositionPatient"])
def test_no_message_names_a_dicom_file(tmp_path, capfd, caplog, how):
    write_series(tmp_path / "s1", prefix="QUZZLEWICK_")
    damaged(sorted((tmp_path / "s1").iterdir())[2], how)
    subject = try_subject(Choice(tmp_path), Steps(n4=False), tmp_path / "out", "s1")
    assert "QUZZLEWICK" not in str(subject)
    with pytest.raises(ScanError) as error:
        read_scan(tmp_path / "s1")
    told = capfd.readouterr()
    assert "QUZZLEWICK" not in str(error.value) + told.out + told.err + caplog.text

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose

from hrcam_monai.data import ScanError, read_scan
from hrcam_monai.transforms.resampling import FitInPlaned
from tests.conftest import save_head
from tests.data.dicom import write_series


def save(path, array, affine=None):
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_nifti_keeps_grid_and_affine(tmp_path):
    affine = np.array([[-0.9, 0.1, 0, 5], [0.1, 0.9, 0.2, -7], [0, -0.2, 3, 2], [0, 0, 0, 1]])
    save_head(tmp_path / "a.nii.gz", affine=affine)
    scan = read_scan(tmp_path / "a.nii.gz")
    assert scan.shape == (1, 20, 24, 16)
    assert scan.dtype == torch.float32
    np.testing.assert_allclose(scan.affine, affine, atol=1e-6)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_other_formats_equal_nifti(tmp_path, head, suffix):
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.imread(str(head)), str(tmp_path / f"b{suffix}"))
    mine, theirs = read_scan(tmp_path / f"b{suffix}"), read_scan(head)
    torch.testing.assert_close(mine.as_tensor(), theirs.as_tensor())
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-5)


def test_dicom_series_has_the_slices_geometry(tmp_path):
    write_series(tmp_path / "series")
    scan = read_scan(tmp_path / "series")
    assert scan.shape == (1, 20, 24, 6)
    sin = np.sin(np.deg2rad(10))
    corner = np.asarray(scan.affine) @ [0, 0, 0, 1]
    last = np.asarray(scan.affine) @ [0, 0, 5, 1]
    np.testing.assert_allclose(corner[:3], [20, 24, 0], atol=1e-4)  # DICOM is LPS, ours RAS
    np.testing.assert_allclose(last[:3] - corner[:3], [0, 15 * sin, 15 * np.cos(np.deg2rad(10))], atol=1e-3)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_file_of_two_dimensions_is_one_slice(tmp_path, suffix):
    values = np.random.default_rng(0).random((6, 5)).astype(np.float32)
    if suffix == ".nii.gz":
        save(tmp_path / "a.nii.gz", values)
    else:
        itk = pytest.importorskip("itk")
        itk.imwrite(itk.image_from_array(values.T.copy()), str(tmp_path / f"a{suffix}"))
    scan = read_scan(tmp_path / f"a{suffix}")
    assert scan.shape == (1, 6, 5, 1)
    assert scan.affine.shape == (4, 4)
    np.testing.assert_array_equal(scan[0, ..., 0], values)
    back = Compose([FitInPlaned("image", 12)])
    assert back.inverse(back({"image": scan}))["image"].shape == (1, 6, 5, 1)


def test_a_single_volume_in_4d_is_that_volume(tmp_path):
    assert read_scan(save(tmp_path / "a.nii", np.random.rand(4, 5, 6, 1).astype(np.float32))).shape == (1, 4, 5, 6)


def with_value(value):
    array = np.random.rand(4, 5, 6).astype(np.float32)
    array[1, 2, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_value(np.nan), "1 voxels are NaN or infinite; replace them"),
        (with_value(np.inf), "1 voxels are NaN or infinite; replace them"),
        (np.full((4, 5, 6), 7, np.float32), "every voxel is 7; it shows nothing"),
        (np.random.rand(4, 5, 6, 3).astype(np.float32), r"has 3 channels or volumes \(shape \(4, 5, 6, 3\)\), expected 1"),
        (np.random.rand(5).astype(np.float32), r"is 1-D \(shape \(5,\)\), expected a volume or a slice"),
    ],
)
def test_bad_voxels(tmp_path, array, message):
    path = save(tmp_path / "bad.nii.gz", array)
    with pytest.raises(ScanError, match=message) as error:
        read_scan(path)
    assert str(error.value).startswith(f"{path}: ")


def test_zero_size_axis(tmp_path):
    path = tmp_path / "bad.nii"
    header = nib.Nifti1Header()
    header.set_data_shape((4, 0, 6))
    path.write_bytes(header.binaryblock + b"\0" * 4)
    with pytest.raises(ScanError, match="side of zero voxels|cannot be read as an image"):
        read_scan(path)


def test_missing_empty_truncated_and_no_image(tmp_path, head):
    with pytest.raises(ScanError, match="no such file; correct the path"):
        read_scan(tmp_path / "gone.nii.gz")
    (tmp_path / "empty.nii.gz").touch()
    with pytest.raises(ScanError, match=r"is empty \(0 bytes\); copy it again"):
        read_scan(tmp_path / "empty.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes(head.read_bytes()[:3000])
    with pytest.raises(ScanError, match="cannot be read as an image .* copy it again, or convert it to NIfTI"):
        read_scan(tmp_path / "cut.nii.gz")
    (tmp_path / "text.nii").write_text("not an image")
    with pytest.raises(ScanError, match="cannot be read as an image"):
        read_scan(tmp_path / "text.nii")


def test_a_damaged_bit_and_a_place_that_is_unknown(tmp_path, head):
    damaged = bytearray(head.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    (tmp_path / "bit.nii.gz").write_bytes(damaged)
    with pytest.raises(ScanError, match="cannot be read as an image"):
        read_scan(tmp_path / "bit.nii.gz")
    image = nib.Nifti1Image(with_value(1), None)
    image.header["sform_code"] = 1  # with an sform of zeros
    nib.save(image, tmp_path / "lost.nii")
    with pytest.raises(ScanError, match="its affine is singular or not finite, so its place is unknown; export it again"):
        read_scan(tmp_path / "lost.nii")


def test_dicom_folders(tmp_path):
    write_series(tmp_path / "two", prefix="a")
    write_series(tmp_path / "two", prefix="b")
    with pytest.raises(ScanError, match="holds 2 DICOM series; put each series into a folder of its own"):
        read_scan(tmp_path / "two")
    write_series(tmp_path / "gap", skip=(3,))
    with pytest.raises(ScanError, match=r"1 slice\(s\) missing \(gap of 6.0 mm, others 3.0 mm\); export the series again"):
        read_scan(tmp_path / "gap")
    (tmp_path / "none").mkdir()
    with pytest.raises(ScanError, match="holds no DICOM file"):
        read_scan(tmp_path / "none")


@pytest.mark.real_data
@pytest.mark.parametrize("lost", [100, 900])  # bytes, of 960
def test_a_dicom_slice_that_is_cut_short_is_not_filled_up(tmp_path, lost):
    write_series(tmp_path / "series")
    slices = sorted((tmp_path / "series").iterdir())
    whole = slices[2].read_bytes()
    slices[2].write_bytes(whole[:-lost])
    with pytest.raises(ScanError, match=r"DICOM file 3 of 6 along the stack are cut short; copy the series again.*\.$") as error:
        read_scan(tmp_path / "series")
    assert slices[2].name not in str(error.value)  # names of DICOM files hold patients' names


def test_real_formats(real_data):
    assert read_scan(real_data / "dicom_series").shape[-1] == 20
    assert read_scan(real_data / "enhancing_lesion_t1ce" / "brain1_image.nrrd").shape[-1] == 25


@pytest.mark.parametrize("qform_code", [0, 1])
def test_the_sform_counts_whatever_pixdim_and_qform_say(tmp_path, qform_code):
    """SPM and others write a registration into the sform alone; MONAI's reader then puts the qform in its place."""
    sform = np.array([[-2.3, 0.1, 0, 30], [0, 2.2, 0, -40], [0, 0, 2.1, 15], [0, 0, 0, 1.0]])
    path = save(tmp_path / "a.nii", np.random.rand(4, 5, 6).astype(np.float32))
    header = nib.Nifti1Header(path.read_bytes()[:348])
    header.set_qform(np.diag([2.0, 2, 2, 1]), qform_code)
    header.set_sform(sform, 4)
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    scan = read_scan(path)
    np.testing.assert_allclose(scan.affine, sform, atol=1e-5)
    np.testing.assert_allclose(scan.meta["original_affine"], sform, atol=1e-5)


def test_numpy_arrays_are_volumes_or_pictures_and_run_nothing(tmp_path):
    values = np.random.default_rng(0).random((5, 7, 3))
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_allclose(read_scan(tmp_path / "a.npy")[0], values.astype(np.float32))
    np.save(tmp_path / "b.npy", values[..., 0])
    scan = read_scan(tmp_path / "b.npy")
    assert scan.shape == (1, 7, 5, 1)  # columns to the right, rows downwards
    assert scan.affine[1, 1] == -1
    for bad in (np.zeros((2, 3, 4, 5)), values.astype(complex), np.array([{"a": 1}] * 4, dtype=object).reshape(2, 2)):
        np.save(tmp_path / "c.npy", bad, allow_pickle=True)
        with pytest.raises(ScanError, match=r"c.npy: (holds (float64|complex128) of shape|cannot be read as an image)"):
            read_scan(tmp_path / "c.npy")

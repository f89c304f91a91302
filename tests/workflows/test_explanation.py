from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from PIL import Image

from hrcam_monai import HRCAMNet, explain
from hrcam_monai.networks import StageCNN
from hrcam_monai.networks.level_head import pool_maps

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "bundle" / "models"
SLICE = next(iter(sorted((ROOT / "examples" / "brain_tumours" / "images").glob("*.png"))))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), num_classes=3, pooling="lse")


def test_a_picture_needs_its_model_folder_alone(tmp_path):
    found = explain(MODELS / "brain_tumor_t1ce", SLICE)
    assert found.classes == ("meningioma", "glioma", "pituitary")
    assert found.predicted in found.classes
    assert float(found.probabilities.sum()) == pytest.approx(1)
    assert found.input_check == "as trained"
    assert found.maps.shape == (3, *reversed(Image.open(SLICE).size), 1)
    files = found.save(tmp_path, "slice")
    assert [f.name for f in files][:3] == ["slice_meningioma.tif", "slice_glioma.tif", "slice_pituitary.tif"]
    pixels = np.asarray(Image.open(files[0]))
    np.testing.assert_allclose(pixels.T, found.maps[0, ..., 0])
    assert files[-1].name == f"slice_{found.predicted}.png"


def test_a_picture_of_something_else_is_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
    assert explain(MODELS / "brain_tumor_t1ce", noise).input_check.startswith("unlike the training scans: ")


def test_the_pixels_of_a_picture_give_what_its_file_gives():
    by_file, by_pixels = (explain(MODELS / "brain_tumor_t1ce", i) for i in (SLICE, np.asarray(Image.open(SLICE))))
    torch.testing.assert_close(by_file.maps.as_tensor(), by_pixels.maps.as_tensor())


def test_maps_of_a_scan_lie_on_its_own_grid(tmp_path):
    affine = np.array([[-3.8, 0.6, 0, 70], [0.6, 3.8, 0.2, -70], [0, -0.2, 4.0, -60], [0, 0, 0, 1]])
    head = np.zeros((36, 40, 32), dtype=np.float32)
    head[6:30, 6:34, 6:26] = np.random.default_rng(0).normal(100, 10, (24, 28, 20))
    nib.save(nib.Nifti1Image(head, affine), tmp_path / "head.nii.gz")
    found = explain(MODELS, tmp_path / "head.nii.gz")
    assert found.classes == ("normal", "abnormal")
    assert found.maps.shape == (2, 36, 40, 32)
    np.testing.assert_allclose(found.maps.affine, affine, atol=1e-5)
    *maps, panel = found.save(tmp_path / "out", "head")
    saved = nib.load(maps[1])
    np.testing.assert_allclose(saved.affine, affine, atol=1e-5)
    np.testing.assert_allclose(saved.get_fdata(), found.maps[1].numpy(), atol=1e-5)
    assert panel.is_file()


@pytest.mark.parametrize("classes", [None, ["a", "b", "c"]])
def test_a_network_takes_its_own_grid_and_its_maps_pool_to_the_logits(network, classes, tmp_path):
    found = explain(network, np.random.default_rng(0).random((1, 24, 20), dtype=np.float32), classes=classes)
    assert found.classes == tuple(classes or "012")
    assert found.maps.shape == (3, 24, 20)
    torch.testing.assert_close(pool_maps(found.maps.as_tensor()[None], "lse", 10.0)[0], found.logits, atol=1e-4, rtol=0)
    assert found.map(found.classes[1]).shape == (24, 20)
    assert found.show().size[0] > 0
    assert nib.load(found.save(tmp_path)[0]).shape == (24, 20)


@pytest.mark.parametrize(
    ("image", "options", "told"),
    [
        ("scan.nii.gz", {}, "an HRCAMNet does not know how files are prepared"),
        (np.zeros((24, 20)), {}, r"image is \(24, 20\); this network takes \[C, X, Y\]"),
        (np.zeros((1, 24, 20)), {"classes": ["a"]}, "1 names for 3 classes"),
    ],
)
def test_bad_input_of_a_network_is_named(network, image, options, told):
    with pytest.raises(ValueError, match=told):
        explain(network, image, **options)


def test_bad_input_of_a_model_folder_is_named(network, tmp_path):
    with pytest.raises(ValueError, match=r"image is \(2, 3, 4, 5\); give \[X, Y, Z\], or the pixels"):
        explain(MODELS, np.zeros((2, 3, 4, 5)))
    with pytest.raises(FileNotFoundError, match=r"model.pt: no such weights file; train first, or give the path of one"):
        explain(tmp_path, SLICE)
    with pytest.raises(ValueError, match="no class 'd'; there are 0, 1, 2"):
        explain(network, np.zeros((1, 24, 20))).map("d")


@pytest.mark.parametrize(("value", "told"), [(np.nan, "1 voxels are NaN or infinite"), (None, "every voxel is 0; it shows")])
def test_arrays_are_looked_at_as_files_are(network, value, told):
    pixels = np.zeros((24, 20))
    if value is not None:
        pixels[3, 4] = value
        with pytest.raises(ValueError, match=f"image: {told}"):
            explain(network, pixels[None])
    with pytest.raises(ValueError, match=f"image: {told}"):
        explain(MODELS / "brain_tumor_t1ce", pixels)


def test_a_volume_for_a_network_of_slices_is_refused():
    """In colour [rows, columns, 3] is one, too."""
    with pytest.raises(ValueError, match=r"^image: is a volume of 24 x 20 x 3, and its network reads single slices"):
        explain(MODELS / "brain_tumor_t1ce", np.random.default_rng(0).random((24, 20, 3)))


@pytest.mark.parametrize("codes", ["LPS", "PIR"], ids=["axial", "sagittal"])
def test_maps_of_one_slice_of_a_scan_lie_on_its_own_grid(tmp_path, codes):
    pixels = np.asarray(Image.open(SLICE)).astype(np.float32)
    affine = np.linalg.inv(inv_ornt_aff(axcodes2ornt(codes), (*pixels.T.shape, 1))) @ np.diag([0.5, 0.5, 5, 1])
    nib.save(nib.Nifti1Image(pixels.T[..., None], affine), tmp_path / "slice.nii.gz")
    found = explain(MODELS / "brain_tumor_t1ce", tmp_path / "slice.nii.gz")
    assert found.predicted == explain(MODELS / "brain_tumor_t1ce", SLICE).predicted
    *maps, panel = found.save(tmp_path / "out", "slice")
    assert panel.is_file()
    for file, heat in zip(maps, found.maps, strict=True):
        saved = nib.load(file)
        assert saved.shape == (*pixels.T.shape, 1)
        np.testing.assert_allclose(saved.affine, affine, atol=1e-5)
        np.testing.assert_allclose(saved.get_fdata(), heat.numpy(), atol=1e-5)


def test_a_network_stays_as_it_is(network):
    network.train().double()
    try:
        found = explain(network, np.zeros((1, 24, 20), dtype=np.float32))
        assert network.training
        assert next(network.parameters()).dtype == torch.float64
        assert found.maps.dtype == torch.float32
    finally:
        network.float()

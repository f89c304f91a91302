from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, ResizeWithPadOrCropd

from hrcam_monai.transforms import LoadScand
from hrcam_monai.transforms.regions import ContrastRatiod, CropAboutd, nigral_laterality, region_values, side_scores

AFFINE = np.array([[-0.75, 0, 0, 20], [0, 0.75, 0, -40], [0, 0, 2.2, -30], [0, 0, 0, 1]])  # a file of left, anterior, superior


@pytest.fixture
def slab(tmp_path):
    """A slab of 100 with noise, a crus of 200 and a nigra of 260 to its right, with regions; and a patch of air."""
    values = np.random.default_rng(0).normal(100, 5, (40, 36, 10)).astype(np.float32)
    regions = np.zeros(values.shape, np.uint8)
    regions[24:28, 20:26, 3:6], regions[18:22, 20:26, 3:6] = 1, 2
    values[regions == 1], values[regions == 2], values[:3] = 200, 260, 0
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "nm.nii.gz")
    nib.save(nib.Nifti1Image(regions, AFFINE), tmp_path / "regions.nii.gz")
    item = Compose([LoadScand("image"), Orientationd("image", "RAS", labels=None)])({"image": str(tmp_path / "nm.nii.gz")})
    return item | {"regions": str(tmp_path / "regions.nii.gz")}


def test_contrast_is_that_to_the_crus(slab):
    image = ContrastRatiod("image")(slab)["image"].as_tensor()[0].numpy()
    flipped = image[::-1]  # the file's order
    assert np.allclose(flipped[24:28, 20:26, 3:6], 0, atol=1e-5)
    assert np.allclose(flipped[18:22, 20:26, 3:6], 3.0, atol=1e-5)
    assert (flipped[:3] == 0).all()


def test_contrast_does_not_change_with_the_gain_of_the_scanner(slab):
    one = ContrastRatiod("image")(slab)["image"]
    assert torch.allclose(ContrastRatiod("image")(slab | {"image": slab["image"] * 7})["image"], one, atol=1e-4)


def test_without_regions_a_robust_z_score(slab):
    del slab["regions"]
    image = ContrastRatiod("image")(slab)["image"].as_tensor()
    inside = image[image != 0]
    assert abs(float(inside.median())) < 0.01
    assert 0.9 < float(inside.abs().median()) * 1.4826 < 1.1


def test_an_empty_reference_is_told(slab):
    with pytest.raises(ValueError, match="regions.nii.gz: label 9, the reference of contrast, is empty or dark"):
        ContrastRatiod("image", reference=9)(slab)


@pytest.mark.parametrize("where", ["regions", "roi", "middle"])
def test_crop_about(slab, where):
    world = AFFINE @ [22.5, 22.5, 4, 1]
    if where != "regions":
        del slab["regions"]
    if where == "roi":
        slab["roi"] = world[:3].tolist()
    image = CropAboutd(["image", "mask"], (16, 12, 14))(slab)["image"]
    assert image.shape == (1, 16, 12, 10)
    middle = image.affine.numpy() @ [7.5, 5.5, 4.5, 1]
    expected = AFFINE @ [19.5, 17.5, 4.5, 1] if where == "middle" else world
    assert np.abs((middle - expected)[:2]).max() < 1.0


def test_a_place_off_the_image_or_of_another_shape_is_told(slab):
    with pytest.raises(ValueError, match="roi lies outside the image"):
        CropAboutd("image", (8, 8, 8))(slab | {"roi": [500, 0, 0]})
    with pytest.raises(ValueError, match="it must be three world coordinates"):
        CropAboutd("image", (8, 8, 8))(slab | {"roi": [1, 2]})


def test_a_map_goes_back_to_where_the_crop_came_from(slab):
    shape = slab["image"].shape
    prepare = Compose([CropAboutd("image", (16, 12, 14)), ResizeWithPadOrCropd("image", (16, 12, 14))])
    item = prepare({k: slab[k] for k in ("image", "regions")})
    image = item["image"]
    item["map"] = MetaTensor(
        (image.as_tensor() > 230).float(), meta=dict(image.meta), applied_operations=image.applied_operations
    )
    back = Invertd("map", prepare, orig_keys="image", nearest_interp=True)(item)["map"]
    assert back.shape == shape
    assert torch.equal(back.as_tensor() > 0, slab["image"].as_tensor() > 230)


def test_values_of_a_region_on_another_grid(slab):
    assert (region_values(slab["image"], slab["regions"], 2) == 260).all()
    assert len(region_values(slab["image"], slab["regions"], 2)) == 4 * 6 * 3
    cropped = CropAboutd("image", (8, 8, 10))(slab | {"roi": (AFFINE @ [16, 23, 4, 1])[:3].tolist()})
    assert 0 < len(region_values(cropped["image"], slab["regions"], 2)) < 4 * 6 * 3
    assert len(region_values(slab["image"], slab["regions"], 9)) == 0


@pytest.mark.parametrize("flip", [1, -1])
def test_left_is_the_patients_left_in_any_order_of_axes(tmp_path, flip):
    affine = np.diag([flip * 1.0, 1.0, 2.0, 1.0])
    affine[0, 3] = -flip * 9.5
    regions = np.zeros((20, 8, 4), np.uint8)
    world_x = (affine @ [np.arange(20), np.zeros(20), np.zeros(20), np.ones(20)])[0]
    regions[world_x < -2], regions[world_x > 2] = 2, 3  # RAS+: the left has negative coordinates
    nib.save(nib.Nifti1Image(regions, affine), tmp_path / "regions.nii.gz")
    image = MetaTensor(torch.zeros(1, 20, 8, 4), affine=affine)
    left = np.zeros((20, 8, 4)) + (world_x < -4)[:, None, None]
    path = str(tmp_path / "regions.nii.gz")
    assert nigral_laterality(MetaTensor(torch.tensor(left)[None], affine=affine), path) == 1
    assert nigral_laterality(MetaTensor(torch.tensor(left[::-1].copy())[None], affine=affine), path) == -1
    assert side_scores(left + 0.5 * left[::-1], left, image, path) == {"laterality": pytest.approx(1 / 3), "same_side": 1.0}
    assert side_scores(left[::-1], left, image, path)["same_side"] == 0

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Invertd, Orientationd, ResizeWithPadOrCropd, Spacingd
from PIL import Image

from hrcam_monai.transforms import (
    LabelMapd,
    LoadMaskd,
    LoadScand,
    RandSlicesd,
    ReadPredictiond,
    SliceWeightsd,
    is_tissue,
    slice_weights,
)
from tests.conftest import save_head
from tests.pictures import SIZE, draw

OBLIQUE = nib.affines.from_matvec(
    np.array([[-0.98, 0.17, 0], [-0.17, -0.98, 0.1], [0, 0.1, 0.99]]) @ np.diag([0.9, 0.9, 3.0]), [12, 30, -20]
)


def preprocessing(keys):
    return Compose(
        [
            LoadScand("image"),
            *([LoadMaskd()] if "mask" in keys else []),
            Orientationd(keys, "RAS", labels=None),
            Spacingd(keys, (1.5, 1.5, 1.5), diagonal=True, mode="bilinear"),
            CropForegroundd(keys, "image", select_fn=is_tissue, allow_smaller=True),
            ResizeWithPadOrCropd(keys, (32, 32, 40)),
        ]
    )


def test_load_names_outputs_by_subject(head):
    item = LoadScand("image")({"image": str(head), "subject": "sub-7"})
    assert item["file"] == str(head)
    assert item["image"].meta["filename_or_obj"] == "sub-7.scan"


def test_missing_mask_is_empty_and_wrong_mask_is_told(head, tmp_path):
    item = LoadMaskd()(LoadScand("image")({"image": str(head), "mask": None}))
    assert "mask" not in LoadMaskd()(LoadScand("image")({"image": str(head)}))
    assert item["mask"].shape == item["image"].shape
    assert not item["mask"].any()
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "m.nii")
    with pytest.raises(ValueError, match=r"m.nii: mask is \(3, 3, 3\), its image \(20, 24, 16\); use the image's grid"):
        LoadMaskd()(LoadScand("image")({"image": str(head), "mask": str(tmp_path / "m.nii")}))


def test_a_mirrored_mask_is_refused(head, tmp_path):
    nib.save(nib.Nifti1Image(np.ones((20, 24, 16), np.uint8), np.diag([-1.0, 1, 1, 1])), tmp_path / "m.nii")
    with pytest.raises(ValueError, match="m.nii: mask lies elsewhere than its image; resample it to the image's grid"):
        LoadMaskd()(LoadScand("image")({"image": str(head), "mask": str(tmp_path / "m.nii")}))


@pytest.mark.parametrize("value", [0.5, np.nan], ids=["soft", "not a number"])
def test_a_mask_of_volumes_whose_edge_is_not_known_is_refused(head, tmp_path, value):
    values = np.zeros((20, 24, 16), np.float32)
    values[8:12, 8:12, 8:12], values[8, 8:12, 8:12] = 2035, value
    nib.save(nib.Nifti1Image(values, nib.load(head).affine), tmp_path / "m.nii")
    with pytest.raises(ValueError, match=r"m.nii: (is no mask: its values are not whole numbers; round|.*NaN)"):
        LoadMaskd()(LoadScand("image")({"image": str(head), "mask": str(tmp_path / "m.nii")}))
    values[8] = 0
    nib.save(nib.Nifti1Image(values, nib.load(head).affine), tmp_path / "m.nii")
    assert LoadMaskd()(LoadScand("image")({"image": str(head), "mask": str(tmp_path / "m.nii")}))["mask"].sum() == 3 * 16


def test_a_point_survives_the_round_trip_to_an_oblique_grid(tmp_path):
    """A blob marked in the network's grid comes back at its own world position, in the file's shape and affine."""
    save_head(tmp_path / "a.nii.gz", (40, 44, 12), OBLIQUE)
    transform = preprocessing(["image"])
    item = transform({"image": str(tmp_path / "a.nii.gz"), "subject": "a"})
    heat = torch.zeros(2, *item["image"].shape[1:])
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in heat.shape[1:]], indexing="ij"), -1)
    affine = np.asarray(item["image"].affine)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    target = OBLIQUE @ [22, 20, 6, 1]
    heat[1] = torch.from_numpy(np.exp(-((world - target[:3]) ** 2).sum(-1) / (2 * 4.0**2)))
    out = Compose([ReadPredictiond(), Invertd("map", transform, "image", nearest_interp=False)])(
        {**item, "pred": {"logits": torch.tensor([0.0, 1.0]), "maps": heat}}
    )
    assert out["map"].shape == (1, 40, 44, 12)
    np.testing.assert_allclose(out["map"].affine, OBLIQUE, atol=1e-5)
    peak = np.unravel_index(int(out["map"].argmax()), (40, 44, 12))
    np.testing.assert_allclose(peak, [22, 20, 6], atol=1)


def volume(affine, original, shape=(8, 8, 10)):
    image = MetaTensor(torch.ones(1, *shape), affine=torch.as_tensor(affine, dtype=torch.float64))
    image.meta["original_affine"] = np.asarray(original, dtype=float)
    return image


def test_listed_slices_are_found_after_resampling_and_reorientation():
    # the file: 3 mm slices along its first axis, running downwards
    original = np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0], [-3.0, 0, 0, 27], [0, 0, 0, 1]])
    image = volume(np.diag([1, 1, 1.5, 1]), original, (8, 8, 18))
    weights = slice_weights(image, ranges=[[2, 3]])  # at z = 21 and 18 mm, that is 12 and 14 in slices of 1.5 mm
    found = torch.nonzero(weights).flatten().tolist()
    assert {12, 14} <= set(found)
    assert all(abs(i * 1.5 - 19.5) <= 3 for i in found)


def test_weights_are_tissue_where_no_slice_is_listed():
    image = volume(np.eye(4), np.eye(4))
    image[..., :4] = 0
    assert slice_weights(image).tolist() == [0] * 4 + [64] * 6
    assert slice_weights(image, ranges=[[100, 101]]).tolist() == [0] * 4 + [64] * 6


def test_random_slices_are_labelled_and_only_from_listed_ones():
    image = volume(np.eye(4), np.eye(4)) * torch.arange(10.0)
    item = SliceWeightsd()({"image": image, "slices": [[4, 6]], "label": 1, "subject": "a", "other": [1]})
    draw = RandSlicesd("image", num_samples=20)
    draw.set_random_state(0)
    items = draw(item)
    assert len(items) == 20
    assert {float(i["image"].max()) for i in items} == {4.0, 5.0, 6.0}
    assert all(set(i) == {"image", "label", "subject"} and i["image"].shape == (1, 8, 8) for i in items)


@pytest.mark.parametrize(("map_class", "expected"), [("predicted", 2), ("label", 1), (0, 0)])
def test_map_of_the_class_asked_for(map_class, expected):
    image = MetaTensor(torch.rand(1, 4, 4, 4))
    maps = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 4, 4, 4)
    out = ReadPredictiond(map_class=map_class)(
        {"image": image, "label": 1, "pred": {"logits": torch.tensor([0.0, 1.0, 3.0]), "maps": maps}}
    )
    assert out["predicted"] == 2
    assert float(out["map"].max()) == expected == out["map_class"]
    torch.testing.assert_close(out["probabilities"].sum(), torch.tensor(1.0))
    assert "pred" not in out


def test_maps_of_every_class_but_not_to_monai_label():
    item = {"image": MetaTensor(torch.rand(1, 4, 4, 4), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))}
    pred = {"logits": torch.tensor([0.0, 1.0, 3.0]), "maps": torch.rand(3, 4, 4, 4)}
    out = ReadPredictiond(every_class=True)({**item, "pred": pred})
    torch.testing.assert_close(out["class_maps"].as_tensor(), pred["maps"])
    assert (out["class_maps"].affine == item["image"].affine).all()
    assert "class_maps" not in ReadPredictiond()({**item, "pred": pred})
    assert "class_maps" not in ReadPredictiond(every_class=True)({**item, "pred": pred, "image_path": "scan.nii"})


def test_classes_by_name_and_the_choice_of_a_request_to_monai_label():
    image = MetaTensor(torch.zeros(1, 2, 2))
    pred = {"logits": torch.tensor([3.0, 0.0, 1.0]), "maps": torch.arange(3.0)[:, None, None].expand(3, 2, 2)}

    def shown(asked, more, map_class="predicted"):
        read = ReadPredictiond(map_class=map_class, classes=["a", "b", "c"], asked=asked)
        return read({"image": image, "pred": pred, **more})["map_class"]

    assert shown(None, {}, "c") == 2
    assert shown(["b", "predicted"], {}) == 0
    assert shown(["b", "predicted"], {"image_path": "scan.nii"}) == 1
    assert shown("c", {"image_path": "scan.nii"}) == 2
    assert shown("predicted", {"image_path": "scan.nii"}, "c") == 0
    with pytest.raises(
        ValueError, match="map_class is 'd'; it must be 'predicted', 'label', 'a', 'b', 'c' or the index of a class"
    ):
        shown("d", {})


def test_map_class_must_be_known():
    with pytest.raises(ValueError, match="map_class is 'all'; it must be 'predicted', 'label' or the index of a class"):
        ReadPredictiond(map_class="all")


@pytest.mark.parametrize("level", [0.0, -5.0])
def test_label_map_is_what_stands_out_from_the_head_whatever_the_level(level):
    heat = MetaTensor(torch.tensor([[[9.0, -1.0, -0.8, -0.8, 0.4, 1.0]]]) + level)
    image = MetaTensor(torch.tensor([[[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]]]))  # the first voxel is air
    found = LabelMapd(threshold=0.5)({"map": heat, "image": image, "map_class": 2})["label_map"]
    assert found.tolist() == [[[0, 0, 0, 0, 2, 2]]]
    assert found.dtype == torch.uint8
    assert LabelMapd(threshold=0.9)({"map": heat, "image": image, "map_class": 1})["label_map"].tolist() == [[[0, 0, 0, 0, 0, 1]]]


def test_label_map_is_empty_for_the_reference_and_for_a_flat_map():
    heat, image = MetaTensor(torch.rand(1, 4, 4)), MetaTensor(torch.ones(1, 4, 4))
    assert not LabelMapd()({"map": heat, "image": image, "map_class": 0})["label_map"].any()
    every = LabelMapd(threshold=0.9, first_is_finding=True)({"map": heat, "image": image, "map_class": 0})["label_map"]
    assert every.unique().tolist() == [0, 1]
    assert not LabelMapd()({"map": 0 * heat, "image": image, "map_class": 1})["label_map"].any()
    with pytest.raises(ValueError, match="threshold is 1; it must lie between 0 and 1"):
        LabelMapd(threshold=1)


def test_a_mask_that_is_a_picture_is_black_and_white(tmp_path):
    draw(tmp_path / "a.png", 1, 0, mask=tmp_path / "mask.png")
    load = Compose([LoadScand("image"), LoadMaskd()])
    item = {"image": str(tmp_path / "a.png"), "subject": "a"}
    assert load(item | {"mask": str(tmp_path / "mask.png")})["mask"].sum() == 64
    grey = Image.open(tmp_path / "mask.png").resize((80, 64), Image.Resampling.BILINEAR).resize(SIZE, Image.Resampling.BILINEAR)
    grey.save(tmp_path / "grey.png")
    with pytest.raises(RuntimeError) as error:
        load(item | {"mask": str(tmp_path / "grey.png")})
    assert "grey.png: is a mask of" in str(error.value.__cause__)
    Image.open(tmp_path / "mask.png").resize((80, 64)).save(tmp_path / "large.png")
    with pytest.raises(RuntimeError) as error:
        load(item | {"mask": str(tmp_path / "large.png")})
    assert "mask is (80, 64, 1), its image (40, 32, 1); use the image's grid." in str(error.value.__cause__)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_name_no_class(bad):
    pred = {"logits": torch.tensor([bad, 0.5]), "maps": torch.zeros(2, 4, 4)}
    with pytest.raises(ValueError, match=f"the network's logits are {bad:g}, 0.5: its weights are damaged"):
        ReadPredictiond()({"pred": pred, "image": MetaTensor(torch.zeros(1, 4, 4))})

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.handlers import CheckpointLoader, StatsHandler

from hrcam_monai.transforms.monai_label import (
    ClassOfMaskd,
    MonaiLabelResultd,
    epochs_unless_loaded,
    map_choices,
    weights_to_write,
)

CLASSES = ["normal", "abnormal"]


@pytest.mark.parametrize(("dtype", "shown"), [(None, "map"), ("float32", "map"), ("uint8", "label_map"), (np.int16, "label_map")])
def test_the_image_is_the_map_or_the_label_map_as_asked(dtype, shown):
    data = {"map": torch.rand(1, 4, 4), "label_map": torch.ones(1, 4, 4), "predicted": 1, "map_class": 0, "result_dtype": dtype}
    out = MonaiLabelResultd(CLASSES)({**data, "probabilities": torch.tensor([0.25, 0.75])})
    assert out["pred"] is data[shown]
    assert out["result"] == {
        "prediction": [{"idx": 0, "label": "normal", "score": 0.25}, {"idx": 1, "label": "abnormal", "score": 0.75}],
        "predicted_class": "abnormal",
        "map_class": "normal",
    }


@pytest.mark.parametrize(
    ("asked", "extension"),
    [
        ({"image_path": "a.png"}, ".tif"),
        ({"image_path": "a.JPG", "result_extension": ".nii.gz"}, ".nii.gz"),
        ({"image_path": "a.png", "result_dtype": "uint8"}, ".png"),
        ({"image_path": "a.jpeg", "result_dtype": "uint8"}, ".png"),
        ({"image_path": "a.jpeg", "result_dtype": "uint8", "result_extension": ".nrrd"}, ".nrrd"),
        ({"image_path": "a.nii.gz"}, None),
        ({}, None),
    ],
)
def test_what_comes_of_a_picture_is_written_as_what_holds_it_exactly(asked, extension):
    data = {"map": torch.rand(1, 4, 4, 1), "label_map": torch.ones(1, 4, 4, 1), "predicted": 0, "map_class": 0}
    out = MonaiLabelResultd(CLASSES)({**data, "probabilities": torch.tensor([0.75, 0.25]), **asked})
    assert out.get("result_extension") == extension


def test_a_request_without_a_choice_gets_a_finding_or_what_the_config_shows():
    assert map_choices(CLASSES, "predicted")[0] == "abnormal"
    for first_is_finding in (False, True):
        choices = map_choices(["a", "b", "c"], "predicted", first_is_finding)
        assert sorted(choices) == ["a", "b", "c", "predicted"]
    assert choices[0] == "predicted"


def mask(path, value):
    array = np.zeros((10, 10, 10), np.uint8)
    array[2:5, 2:5, 3:6] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return str(path)


def test_a_mask_becomes_a_class_and_its_slices(tmp_path):
    read = ClassOfMaskd(num_classes=2)
    assert read({"label": mask(tmp_path / "a.nii.gz", 1)}) == {"label": 1, "slices": [[3, 5]]}
    assert read({"label": mask(tmp_path / "n.nii.gz", 0)}) == {"label": 0}
    assert read({"label": 1, "image": "x"}) == {"label": 1, "image": "x"}
    assert read({"image": "x"}) == {"image": "x"}
    with pytest.raises(ValueError, match="holds 7, which is none of the 2 classes; relabel the mask"):
        read({"label": mask(tmp_path / "b.nii.gz", 7)})


def test_training_from_served_weights_has_no_first_stage_and_replaces_them(tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"shipped")
    handlers = [StatsHandler(), CheckpointLoader(str(weights), {"model": torch.nn.Linear(1, 1)})]
    assert epochs_unless_loaded(50, handlers) == 0
    assert epochs_unless_loaded(50, handlers[:1]) == 50
    assert weights_to_write("run/model.pt", handlers[:1]) == "run/model.pt"
    assert weights_to_write("run/model.pt", handlers) == str(weights)
    weights.write_bytes(b"trained")
    assert weights_to_write("run/model.pt", handlers) == str(weights)
    assert (tmp_path / "model.pt.before_training").read_bytes() == b"shipped"
    assert [p.name for p in tmp_path.glob("*.pt")] == ["model.pt"]

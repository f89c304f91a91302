from __future__ import annotations

import json
import logging

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import CropForegroundd, NormalizeIntensityd
from torch import nn

from hrcam_monai.workflows.model_folder import CHOICES
from hrcam_monai.workflows.model_settings import (
    ModelSettingsError,
    check_model_settings,
    comparable,
    load_model,
    settings_file,
    trained_classes,
    write_model_settings,
)
from tests.bundle.runs import CONFIGS

SETTINGS = {"pooling": "gap", "classes": ["a", "b"], "normalization": NormalizeIntensityd("image", nonzero=True)}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    write_model_settings(path, SETTINGS)
    return path


def test_the_same_settings_load(weights):
    network = nn.Linear(2, 2)
    load_model(network, weights, SETTINGS)
    assert torch.equal(network.weight, torch.load(weights, weights_only=True)["weight"])
    load_model(network, None, {})


def test_what_differs_is_named_and_can_be_insisted_on(weights, caplog):
    other = SETTINGS | {"pooling": "lse", "normalization": NormalizeIntensityd("image", nonzero=False)}
    with pytest.raises(ModelSettingsError) as error:
        load_model(nn.Linear(2, 2), weights, other)
    text = str(error.value)
    assert text.startswith(
        f'{weights}: not trained with what it is to be run with: pooling was "gap", is "lse"; normalization was'
    )
    assert text.endswith(
        "List the overlays and options of its training (`hrcam infer` and `hrcam evaluate` find them), or --insist True."
    )
    load_model(nn.Linear(2, 2), weights, other, insist=True)
    assert "run all the same" in caplog.text


def test_how_maps_are_placed_may_be_chosen_and_is_told(weights, caplog):
    write_model_settings(weights, SETTINGS | {"edges": 2, "scales": [1.5]})
    with caplog.at_level(logging.INFO):
        check_model_settings(weights, SETTINGS | {"edges": 0, "scales": []})
    assert "maps are read otherwise than as trained (edges was 2, is 0; scales was [1.5], is [])" in caplog.text
    with pytest.raises(ModelSettingsError, match='pooling was "gap", is "lse"'):
        check_model_settings(weights, SETTINGS | {"edges": 0, "pooling": "lse"})


def test_a_record_of_other_weights_is_no_record(weights):
    torch.save(nn.Linear(2, 2).state_dict(), weights)
    with pytest.raises(ModelSettingsError, match=r"network.json is of other weights than model.pt"):
        check_model_settings(weights, SETTINGS)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": 3, "weights": ""}', '{"weights": ""}'])
def test_a_torn_or_foreign_record_is_told(weights, text):
    settings_file(weights).write_text(text)
    with pytest.raises(ModelSettingsError, match=r"network.json: no whole record of a network; train again, or remove it"):
        check_model_settings(weights, SETTINGS)


def test_weights_without_a_record_are_let_through_and_told(weights, caplog):
    settings_file(weights).unlink()
    with caplog.at_level(logging.WARNING):
        check_model_settings(weights, SETTINGS)
    assert "has no network.json beside it" in caplog.text


def test_a_record_holds_no_path_and_no_object(weights):
    record = json.loads(settings_file(weights).read_text())
    assert set(record) == {"hrcam_monai", "weights", "settings"}
    assert str(weights.parent) not in settings_file(weights).read_text()


def test_a_transform_that_also_moves_masks_is_the_same():
    alone, both = (CropForegroundd(k, "image", allow_smaller=True) for k in ("image", ["image", "mask"]))
    assert comparable({"crop": alone}) == comparable({"crop": both})
    assert comparable({"crop": alone}) != comparable({"crop": CropForegroundd("image", "image", margin=3, allow_smaller=True)})


OVERLAYS = (*map(list, CHOICES), ["pictures", "tasks/glioma_flair"], ["tasks/parkinson_nm"])


@pytest.mark.parametrize("overlays", OVERLAYS, ids=lambda o: "+".join(o) or "none")
def test_every_workflow_is_told_the_same(overlays):
    told = []
    for workflow in ("train", "evaluate", "inference"):
        parser = ConfigParser()
        parser.read_config([CONFIGS / f"{name}.json" for name in (workflow, *overlays)])
        told.append(comparable(parser.get_parsed_content("model_settings")))
    assert told[0] == told[1] == told[2]


def test_classes_are_those_of_the_record_or_else_of_the_manifest(tmp_path):
    (tmp_path / "manifest.json").write_text('{"classes": ["a", "b"]}')
    (tmp_path / "model.pt").write_bytes(b"weights")
    assert trained_classes(None, tmp_path) == trained_classes(tmp_path / "model.pt", tmp_path) == ["a", "b"]
    write_model_settings(tmp_path / "model.pt", {"classes": ["well", "ill"]})
    assert trained_classes(tmp_path / "model.pt", tmp_path) == ["well", "ill"]

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.workflows.model_folder import find_bundle, fitting_config, fitting_parser, run_model, weights_file
from hrcam_monai.workflows.model_settings import ModelSettingsError

BUNDLE = Path(__file__).parents[2] / "bundle"


SHIPPED = [
    (".", ["normal", "abnormal"]),
    ("people", ["normal", "abnormal"]),
    ("brain_tumor_t1ce", ["meningioma", "glioma", "pituitary"]),
]


@pytest.mark.parametrize(("folder", "classes"), SHIPPED)
def test_a_record_finds_its_configuration(folder, classes):
    weights = weights_file(BUNDLE / "models" / folder)
    parser = fitting_parser(weights, find_bundle(weights))
    assert parser.get_parsed_content("classes") == classes


def folder_of(tmp_path, **changed):
    shutil.copytree(BUNDLE / "models" / "brain_tumor_t1ce", tmp_path / "model")
    record = json.loads((tmp_path / "model" / "network.json").read_text())
    record["settings"] |= changed
    (tmp_path / "model" / "network.json").write_text(json.dumps(record))
    return tmp_path / "model" / "model.pt"


def test_what_was_set_on_the_command_line_of_the_training_is_taken_from_the_record(tmp_path):
    weights = folder_of(tmp_path, sharpness=7.0, classes=["a", "b", "c"])
    parser = fitting_parser(weights, find_bundle(weights))
    assert parser.get_parsed_content("inferer").sharpness == 7.0
    assert parser.get_parsed_content("classes") == ["a", "b", "c"]


def test_a_record_that_no_configuration_fits_is_told(tmp_path):
    weights = folder_of(tmp_path, normalization={"class": "Other"})
    with pytest.raises(ModelSettingsError, match="trained with settings that no config of .* has; name its overlays"):
        fitting_parser(weights, BUNDLE)
    shutil.copy(BUNDLE / "models" / "network.json", weights.parent)
    with pytest.raises(ModelSettingsError, match="model.pt: the record beside it is of other weights"):
        fitting_parser(weights, BUNDLE)


def test_without_a_record_overlays_are_asked_for(tmp_path):
    weights = folder_of(tmp_path)
    (weights.parent / "network.json").unlink()
    with pytest.raises(ModelSettingsError, match="has no record of its training beside it; name its overlays"):
        fitting_parser(weights, BUNDLE)
    parser = fitting_parser(weights, BUNDLE, ["pictures", "tasks/brain_tumor_t1ce"])
    assert len(parser.get_parsed_content("classes")) == 3


def test_a_comparison_needs_no_overlay_of_weights_with_a_record():
    candidate = load_candidate(BUNDLE, f"tumours={BUNDLE / 'models' / 'brain_tumor_t1ce'}")
    assert candidate.network.head.num_classes == 3


def test_a_comparison_takes_classes_from_the_manifest_and_holds_networks_to_them(tmp_path):
    tumours = f"tumours={BUNDLE / 'models' / 'brain_tumor_t1ce'}"
    assert load_candidate(BUNDLE, tumours, (), ["meningioma", "glioma", "pituitary"]).network.head.num_classes == 3
    with pytest.raises(ModelSettingsError, match=r'classes was \["meningioma", "glioma", "pituitary"\], is \["glioma", "me'):
        load_candidate(BUNDLE, tumours, (), ["glioma", "meningioma", "pituitary"])


def test_an_overlay_of_training_alone_is_passed_over(tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(BUNDLE, root)
    (root / "configs" / "tasks" / "a.json").write_text('{"train::dataset::data": []}')
    assert fitting_config(root / "models" / "brain_tumor_t1ce" / "model.pt", root)[0] == ["pictures", "tasks/brain_tumor_t1ce"]


def test_what_named_overlays_leave_open_is_taken_from_the_record(tmp_path):
    weights = folder_of(tmp_path, sharpness=7.0, edges=3)
    own = tmp_path / "own.json"
    own.write_text('{"edges": 1}')
    parser = fitting_parser(weights, BUNDLE, ["pictures", "tasks/brain_tumor_t1ce", str(own)])
    assert parser.get_parsed_content("inferer").sharpness == 7.0
    assert parser.get_parsed_content("inferer").edges == 1


def test_shipped_models_know_their_overlays():
    assert fitting_config(BUNDLE / "models" / "model.pt", BUNDLE) == ([], {})
    tumours = BUNDLE / "models" / "brain_tumor_t1ce" / "model.pt"
    assert fitting_config(tumours, BUNDLE, "evaluate") == (["pictures", "tasks/brain_tumor_t1ce"], {})
    two_stage = BUNDLE.parent / "benchmarks" / "models" / "two_stage.pt"
    assert fitting_config(two_stage, BUNDLE, "evaluate") == (["two_stage"], {})


def test_what_contradicts_the_training_is_refused_by_name(tmp_path, cohort):
    with pytest.raises(RuntimeError) as error:
        run_model("evaluate", BUNDLE / "models", cohort, tmp_path / "out", settings={"sharpness": 3.0})
    assert "sharpness was 10.0, is 3.0" in str(error.value.__cause__)
    with pytest.raises(ValueError, match="--sharpnes: no such option of evaluate.json; did you mean --sharpness?"):
        run_model("evaluate", BUNDLE / "models", cohort, tmp_path / "out", settings={"sharpnes": 3.0})
    assert not (tmp_path / "out" / "metrics.json").exists()

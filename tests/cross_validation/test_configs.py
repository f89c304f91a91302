from __future__ import annotations

import json
from pathlib import Path

import pytest

from hrcam_monai.cross_validation.configs import config_files, fold_overlays, load, of_maps_alone, parse_settings, with_references

CLASSES = ["a", "b"]


def test_settings_go_to_the_workflows_that_know_them(bundle_root):
    files = config_files(bundle_root, None, ["two_stage"])
    assert [p.name for p in files["train"]] == ["train.json", "two_stage.json", "exact_resume.json"]
    given = parse_settings(["epochs=3", "map_class=b", "backbone::channels=[4, 6]", "--spacing=(8,8,8)"])
    made = fold_overlays(files, given, CLASSES, Path("/data"))
    assert (made["train"]["epochs"], made["inference"]["map_class"]) == (3, "b")
    assert "epochs" not in made["evaluate"]
    assert "map_class" not in made["train"]
    for workflow in ("evaluate", "inference"):
        assert made[workflow]["backbone"]["channels"] == [4, 6]
        assert (made[workflow]["pooling"], made[workflow]["slice_sigma"]) == ("gap", 0.0)  # of the overlay
        assert tuple(made[workflow]["spacing"]) == (8, 8, 8)
        assert made[workflow]["classes"] == CLASSES
    assert made["train"]["manifest::root"] == made["inference"]["found::root"] == "/data"


@pytest.mark.parametrize("task", ["ependymoma_gbm", "parkinson_nm"])
def test_held_out_images_are_read_as_those_of_training(task, bundle_root):
    files = config_files(bundle_root, None, [f"tasks/{task}"])
    made = fold_overlays(files, {}, CLASSES, Path("/data"))
    overlay = json.loads((bundle_root / "configs" / "tasks" / f"{task}.json").read_text())
    for workflow in ("evaluate", "inference"):
        read = load(files[workflow]) | made[workflow]
        for key in {"crop", "normalization", "reference", "flip_axes", "first_is_finding"} & overlay.keys():
            assert read[key] == overlay[key]
    assert "crop" not in fold_overlays(config_files(bundle_root, None, []), {}, CLASSES, Path("/data"))["evaluate"]


def test_a_network_of_ones_own_brings_what_it_refers_to(tmp_path, bundle_root):
    (tmp_path / "own.json").write_text(json.dumps({"width": 4, "backbone::channels": ["@width", "@width"]}))
    files = config_files(bundle_root, None, [str(tmp_path / "own.json")])
    made = fold_overlays(files, {}, CLASSES, Path("/data"))
    assert made["inference"]["width"] == 4
    assert with_references({"a": "@b", "b": "@c"}, ["a"], ["b"]) == {"a": "@b"}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("epochs", "--set 'epochs': write it as key=value, such as --set epochs=10."),
        ("output_dir=x", "--set output_dir: each fold has its own; leave it to cross-validate."),
        ("manifest::root=x", "--set manifest::root: each fold has its own; leave it to cross-validate."),
    ],
)
def test_bad_settings(pair, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_settings([pair])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("tracking=mlflow", "--set tracking: is no key of the configs; set one of those, or leave it out."),
        ("map-class=c", "map_class is 'c'; it must be 'predicted', 'label', 'a', 'b' or the index of a class."),
        ("preprocessing::transforms=[]", "the training config changes `preprocessing`, which evaluation would not follow"),
    ],
)
def test_settings_that_would_do_nothing_or_end_late_are_refused(pair, message, bundle_root):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fold_overlays(config_files(bundle_root, None, []), parse_settings([pair]), CLASSES, Path("/data"))
    assert str(caught.value).startswith(message)


def test_what_inference_alone_knows(bundle_root):
    pairs = ["map_class=b", "epochs=3", "spacing=[8,8,8]", "map_threshold=0.4"]
    assert of_maps_alone(config_files(bundle_root, None, []), pairs) == ["map_class=b", "map_threshold=0.4"]


def test_a_hyphen_is_an_underscore():
    assert parse_settings(["base-epochs=3"]) == {"base_epochs": 3}
    with pytest.raises(ValueError, match="--set output_dir: each fold has its own"):
        parse_settings(["output-dir=x"])


def test_a_crop_of_ones_own_moves_masks_too(bundle_root):
    made = fold_overlays(config_files(bundle_root, None, []), {"crop::margin": 1}, CLASSES, Path("/data"))
    for workflow in ("evaluate", "inference"):
        crop = made[workflow]["crop"]
        assert (crop["margin"], crop["keys"], crop["allow_missing_keys"]) == (1, ["image", "mask"], True)


def test_a_misspelt_setting_and_a_config_that_is_not_there(bundle_root):
    with pytest.raises(ValueError, match="--epocs: no such option of train.json and .*; did you mean --epochs?"):
        fold_overlays(config_files(bundle_root, None, []), {"epocs": 3}, CLASSES, Path("/data"))
    with pytest.raises(FileNotFoundError, match="^nowhere: no such config; give --bundle-root, or the name or path"):
        config_files(bundle_root, None, ["nowhere"])

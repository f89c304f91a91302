from __future__ import annotations

import json

import pytest

from hrcam_monai.cross_validation.settings import MAPS, enter


def test_the_same_settings_go_on_others_stop_and_restart_clears(tmp_path):
    out = tmp_path / "run"
    enter(out, {"seed": 0})
    (out / "fold_0").mkdir()
    (out / "notes").mkdir()
    (out / "baseline_contrast_ratio.csv").touch()
    enter(out, {"seed": 0})
    assert (out / "fold_0").is_dir()
    with pytest.raises(ValueError, match=r"run: was made with other settings or images \(seed\); give .* with --restart"):
        enter(out, {"seed": 1})
    enter(out, {"seed": 1}, restart=True)
    assert not (out / "fold_0").exists()
    assert not (out / "baseline_contrast_ratio.csv").exists()
    assert (out / "notes").is_dir()
    enter(out, {"seed": 1})


def test_other_maps_cost_no_training(tmp_path):
    out = tmp_path / "run"
    enter(out, {"seed": 0, MAPS: []})
    (out / "fold_0" / "inference").mkdir(parents=True)
    (out / "fold_0" / "model.pt").touch()
    (out / "fold_0" / "finished.json").write_text('["train", "inference"]')
    (out / "maps").mkdir()
    enter(out, {"seed": 0, MAPS: ["map_class=b"]})
    assert (out / "fold_0" / "model.pt").is_file()
    assert json.loads((out / "fold_0" / "finished.json").read_text()) == ["train"]
    assert not (out / "fold_0" / "inference").exists()
    assert not (out / "maps").exists()
    with pytest.raises(ValueError, match=r"other settings or images \(seed, set_of_maps\)"):
        enter(out, {"seed": 1, MAPS: []})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "settings.json").write_text('{"classes": ["a", "b"]}')  # as inference writes it
    with pytest.raises(ValueError, match="holds files of something else; choose another --output"):
        enter(tmp_path, {"seed": 0}, restart=True)

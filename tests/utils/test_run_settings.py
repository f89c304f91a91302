from __future__ import annotations

import json

import pytest

from hrcam_monai.utils.run_settings import RunSettings


def test_a_folder_without_a_run_knows_nothing_of_before(tmp_path):
    settings = RunSettings(tmp_path / "new", {"seed": 0, "spacing": (1.0, 2.0)})
    assert settings.before == {}
    assert settings.changed == ["seed", "spacing"]


def test_the_same_settings_have_not_changed_and_others_are_named(tmp_path):
    RunSettings(tmp_path, {"seed": 0, "spacing": (1.0, 2.0), "mask": None}).write()
    assert RunSettings(tmp_path, {"seed": 0, "spacing": [1.0, 2.0], "mask": None}).changed == []
    assert RunSettings(tmp_path, {"seed": 1, "spacing": [1.0, 2.0], "more": 3, "mask": None}).changed == ["more", "seed"]
    assert RunSettings(tmp_path, {"seed": 0}, "other.json").before == {}


def test_a_file_counts_by_its_content(tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_text("a")
    RunSettings(tmp_path, {"weights": weights}).write()
    assert "model.pt" not in json.loads((tmp_path / "settings.json").read_text())["weights"]
    assert RunSettings(tmp_path, {"weights": weights}).changed == []
    weights.write_text("b")
    assert RunSettings(tmp_path, {"weights": weights}).changed == ["weights"]


@pytest.mark.parametrize("torn", ['{"seed": ', "[1]"])
def test_torn_settings_are_named(tmp_path, torn):
    (tmp_path / "settings.json").write_text(torn)
    with pytest.raises(
        ValueError, match=r"settings.json: no whole settings of an earlier run; choose another folder, or remove it"
    ):
        RunSettings(tmp_path, {"seed": 0})

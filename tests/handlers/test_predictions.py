from __future__ import annotations

import json
import logging
import os
import time

import pytest
from monai.transforms import NormalizeIntensityd

from hrcam_monai.handlers.predictions import PredictionWriter
from hrcam_monai.transforms.regions import ContrastRatiod, CropAboutd
from hrcam_monai.utils.csv_files import append_csv, read_csv
from hrcam_monai.utils.fingerprint import fingerprint
from tests.subjects import CLASSES, engine_with, row

ITEMS = [{"subject": name, "image": f"{name}.nii"} for name in "abc"]


def run(folder, rows, **options):
    writer = PredictionWriter(folder, CLASSES, **options)
    left = [item["subject"] for item in writer.unfinished(ITEMS)]
    engine = engine_with()
    writer.attach(engine)
    engine.run([row(name, p) for name, p in rows.items() if name in left] or [{}])
    return left


def subjects(folder):
    return [r["subject"] for r in read_csv(folder / "predictions.csv")]


def test_table_in_order_without_the_failed(tmp_path):
    engine = engine_with()
    PredictionWriter(tmp_path, CLASSES).attach(engine)
    engine.run([row("b", 0.9), {}, row("a", 0.2)])
    table = read_csv(tmp_path / "predictions.csv")
    assert [r["subject"] for r in table] == ["a", "b"]
    assert table[1] == {
        "subject": "b", "file": "b.nii", "predicted": "abnormal", "probability_normal": "0.100000",
        "probability_abnormal": "0.900000", "logit_normal": "-2.302585", "logit_abnormal": "-0.105361",
    }  # fmt: skip


def test_a_second_run_does_what_the_first_one_left(tmp_path):
    assert run(tmp_path, {"b": 0.9}) == ["a", "b", "c"]
    assert run(tmp_path, {"a": 0.5, "b": 0.1, "c": 0.4}) == ["a", "c"]
    table = {r["subject"]: r["probability_abnormal"] for r in read_csv(tmp_path / "predictions.csv")}
    assert table == {"a": "0.500000", "b": "0.900000", "c": "0.400000"}
    assert run(tmp_path, {}) == []
    assert subjects(tmp_path) == ["a", "b", "c"]
    assert run(tmp_path, {"c": 0.1}, resume=False) == ["a", "b", "c"]
    assert subjects(tmp_path) == ["c"]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "series"])
def test_an_image_that_has_changed_since_is_computed_anew(tmp_path, monkeypatch, caplog, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    files = {name: tmp_path / f"{name}.nii" / "1.dcm" if folder else tmp_path / f"{name}.nii" for name in "ab"}
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
        path.touch()
    run(tmp_path / "out", {"a": 0.5, "b": 0.5, "c": 0.5})
    time.sleep(0.05)
    (tmp_path / "another").touch()
    os.utime(tmp_path / "another", (0, 0))  # as old as what is copied or moved may stay
    (tmp_path / "another").replace(files["b"])
    assert run(tmp_path / "out", {"b": 0.9}) == ["b"]
    assert "1 images have changed since; they are computed anew" in caplog.text
    assert [r["probability_abnormal"] for r in read_csv(tmp_path / "out" / "predictions.csv")] == [
        "0.500000",
        "0.900000",
        "0.500000",
    ]


@pytest.mark.parametrize("gone", ["b_map.nii.gz", "b_label.nii.gz"])
def test_a_map_that_is_gone_is_made_anew(tmp_path, caplog, gone):
    (tmp_path / "maps").mkdir()
    writer, engine = PredictionWriter(tmp_path, CLASSES), engine_with()
    writer.attach(engine)
    engine.run([row(name, 0.9) | {"map_class": 1} for name in "ab"])
    for name in "ab":
        for kind in ("map", "label"):
            (tmp_path / "maps" / f"{name}_{kind}.nii.gz").touch()
    assert run(tmp_path, {}) == ["c"]
    (tmp_path / "maps" / gone).unlink()
    assert run(tmp_path, {}) == ["b", "c"]
    assert "maps of 1 subjects are gone; they are computed anew" in caplog.text


def test_lines_are_there_while_the_run_goes_on_and_a_cut_one_is_done_again(tmp_path):
    writer, engine = PredictionWriter(tmp_path, CLASSES), engine_with()
    writer.attach(engine)
    engine.run([row("a", 0.5), row("b", 0.2)])
    whole = (tmp_path / "predictions.csv").read_text()
    (tmp_path / "predictions.csv").write_text(whole[:-5])
    assert run(tmp_path, {"b": 0.2, "c": 0.3}) == ["b", "c"]
    assert subjects(tmp_path) == ["a", "b", "c"]


def test_parts_of_other_processes_count(tmp_path):
    run(tmp_path, {"a": 0.5})
    append_csv(
        tmp_path / "predictions_rank1.csv", [dict(r, subject="b", file="b.nii") for r in read_csv(tmp_path / "predictions.csv")]
    )
    assert run(tmp_path, {"c": 0.5}) == ["c"]
    assert subjects(tmp_path) == ["a", "b", "c"]
    assert not list(tmp_path.glob("predictions_rank*"))


def test_other_settings_or_weights_compute_anew(tmp_path, caplog):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    out = tmp_path / "out"
    out.mkdir()
    settings = {"checkpoint": str(weights), "map_threshold": 0.5}
    run(out, {"a": 0.5}, settings=settings)
    assert run(out, {"b": 0.5}, settings=settings) == ["b", "c"]
    weights.write_bytes(b"two")
    with caplog.at_level(logging.WARNING):
        assert run(out, {"a": 0.4}, settings=settings | {"map_threshold": 0.7}) == ["a", "b", "c"]
    assert "made with other settings (checkpoint, map_threshold); all subjects are computed anew" in caplog.text
    assert subjects(out) == ["a"]
    assert json.loads((out / "settings.json").read_text())["checkpoint"].startswith("sha256:")


def test_transforms_count_by_what_they_are_set_to():
    crop = [fingerprint(CropAboutd("image", size)) for size in ((8, 8, 4), (8, 8, 4), (8, 8, 5))]
    assert crop[0] == crop[1] != crop[2]
    assert fingerprint(NormalizeIntensityd("image")) != fingerprint(NormalizeIntensityd("image", nonzero=True))
    assert fingerprint(ContrastRatiod("image")) != fingerprint(ContrastRatiod("image", scale=2.0))


@pytest.mark.parametrize("file", ["elsewhere/a.nii", "a.nii"])
def test_a_subject_is_its_name_and_its_file(tmp_path, file):
    run(tmp_path, {"a": 0.5})
    left = PredictionWriter(tmp_path, CLASSES).unfinished([{"subject": "a", "image": file}])
    assert len(left) == (file != "a.nii")


def test_a_table_of_something_else_is_named(tmp_path):
    (tmp_path / "predictions.csv").write_text("name,age\na,3\n")
    with pytest.raises(ValueError, match=r"predictions.csv: is no table of predictions of ours; choose another --output_dir"):
        PredictionWriter(tmp_path, ["normal", "abnormal"])

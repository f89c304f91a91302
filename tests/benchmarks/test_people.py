from __future__ import annotations

import csv
import json

import numpy as np
import people
import pytest
from second_lesions import kind

PEER = "TorchCAM LayerCAM, level 2 (base)"


def localization(method, ap):
    return [
        {"method": method, "group": g, "pixel_ap": ap, "best_dice": 0.5, "pointing": 0.5, "energy": 0.1} for g in people.GRADES
    ]


def result(seed, ours):
    return {
        "machine": {"cpu": "one"},
        "versions": {"python": "3"},
        "seed": seed,
        "commit": "abc",
        "classification": [{"network": n, "group": g, "auc": 0.98} for n in ("people", "base") for g in people.GRADES],
        "localization": [*localization(people.OURS, ours), *localization(PEER, 0.2)],
    }


@pytest.fixture
def compared(tmp_path):
    (tmp_path / "comparison.json").write_text(json.dumps(result(0, 0.3)))
    with (tmp_path / "per_subject.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "network", "label", "probability", "method", "pixel_ap"])
        ours = [("a", 1, 0.9, 0.4), ("b", 1, 0.8, 0.2), ("c", 1, 0.4, 0.1), ("d", 0, 0.3, "")]
        writer.writerows([subject, "people", label, p, people.OURS, ap] for subject, label, p, ap in ours)
        writer.writerow(["a", "base", 1, 0.1, PEER, 0.9])
    return tmp_path


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(people, "RESULTS", tmp_path)
    return tmp_path


def test_what_is_kept_of_a_comparison(compared, results):
    kept = people.gathered(compared, {"a": "bright", "b": "dark", "c": "mixed", "d": "none"})
    assert {name: (k["subjects"], k["pixel_ap"]) for name, k in kept["kinds"].items()} == {
        "bright": (1, 0.4),
        "dark": (1, 0.2),
        "mixed": (1, 0.1),
    }
    assert kept["answers"]["called_abnormal"] == {"normal": [0, 1], "abnormal": [2, 3]}
    assert kept["answers"]["calibration_error"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)
    text = people.page([kept])
    assert "of the normal heads 0 of 1, of the abnormal ones 2 of 3." in text
    assert "| AUC, plain lesions | >= 0.97 | **0.980** (0.980) | met |" in text
    assert "| pixel AP, ours / best peer read as ours or not | >= 1.15 | **1.500** (1.500) | met |" in text
    assert "| pointing, plain lesions | >= 0.9 | **0.500** (0.500) | MISSED |" in text
    assert "| pixel AP, bright / dark lesions | >= 0.8 | **2.000** (2.000) | met |" in text
    assert f"| {PEER} | 0.200 |" in text


def test_the_ceiling_stands_beside_ours(compared, results):
    kept = people.gathered(compared, {"a": "bright", "b": "dark", "c": "mixed", "d": "none"})
    assert "told every voxel" not in people.page([kept])
    found = {"subjects": 3, "auc": 0.9, "pixel_ap": 0.4}
    ceiling = {"seed": 0, "epochs": 30, "results": {name: found for name in ("all", "plain", "bright")}}
    (results / "people").mkdir()
    (results / "people" / "ceiling.json").write_text(json.dumps(ceiling))
    text = people.page([kept])
    assert "| pixel AP, ours / our network told every voxel | >= 0.7 | **0.750** (0.750) | met |" in text
    assert "| bright | 3 | 0.900 | 0.400 | 0.400 |" in text


def test_the_kind_of_a_heads_lesions():
    healthy, mask = np.ones((8, 8, 8)), np.zeros((8, 8, 8), np.uint8)
    assert kind(healthy, healthy, mask) == "none"
    mask[1:3], mask[5:7] = 1, 1
    one, other = healthy.copy(), healthy.copy()
    one[1:3], one[5:7] = 2, 2
    other[1:3], other[5:7] = 2, 0.5
    assert [kind(image, healthy, mask) for image in (one, other, 2 - one)] == ["bright", "mixed", "dark"]

from __future__ import annotations

import json

import evidence
import pytest


def line(method, group, value):
    keys = ("pixel_ap", "best_dice", "fixed_dice", "pointing", "peak_distance_mm", "energy")
    scores = {k: value for k in keys} | {f"{k}_ci95": [value, value] for k in keys}
    return {"method": method, "group": group, "subjects": 3, "froc": value, **scores}


@pytest.fixture
def results(tmp_path):
    """Two seeds of one test set; the joint map is worth 0.6, the best LayerCAM 0.4, Grad-CAM 0.1."""
    values = {evidence.JOINT: 0.6, evidence.TWO_STAGE: 0.1, evidence.FITTED: 0.5, evidence.GRADCAM: 0.1}
    values |= {"TorchCAM LayerCAM, level 1 (base)": 0.2, "TorchCAM LayerCAM, level 2 (base)": 0.4}
    values |= {"TorchCAM LayerCAM, level 2, read as HR-CAM (base)": 0.5}
    axis = {"voxels": -0.25, "mm": -0.5}
    for seed in (0, 1):
        study = {
            "machine": {"cpu": "x", "cores": 2, "threads": 1, "gpu": None},
            "versions": {"torch": "2"},
            "seed": seed,
            "localization": [line(m, g, v + 0.01 * seed) for m, v in values.items() for g in evidence.GRADES],
            "classification": [
                {"network": n, "group": g, "auc": 0.9 if n == "joint" else 0.95, "auc_ci95": [0.8, 1]}
                for n in ("joint", "base", "fitted")
                for g in evidence.GRADES
            ],
            "displacement": {"joint": {"map": {"axis0": axis, "axis1": axis}}},
        }
        (tmp_path / f"compare_simulated_{seed}.json").write_text(json.dumps(study))
    (tmp_path / "densenet_simulated.json").write_text(json.dumps(study))
    return tmp_path


def test_targets_are_met_and_missed_by_the_numbers(results):
    text = evidence.page(results)
    assert "| pixel AP, joint / best LayerCAM (simulated) | >= 1.15 | **1.494** (1.500, 1.488) | met |" in text
    assert "| pixel AP, joint / best LayerCAM read as HR-CAM (simulated) | >= 1 | **1.198** (1.200, 1.196) | met |" in text
    assert "| pixel AP, two-stage as published / Grad-CAM (simulated) | >= 4 | **1.000** (1.000, 1.000) | MISSED |" in text
    assert "| displacement of the joint map, voxels (simulated) | < 1 | **0.250** (0.250, 0.250) | met |" in text
    assert "| AUC, joint minus base CNN (simulated) | >= -0.01 | **-0.050** (-0.050, -0.050) | MISSED |" in text


def test_methods_are_sorted_and_seeds_shown(results):
    table = evidence.methods_table(evidence.load_studies(results, "simulated")).splitlines()
    assert table[2].startswith(f"| {evidence.JOINT} | 0.605 (0.600 to 0.610) |")
    assert "0.105 (0.100 to 0.110)" in table[-1]


def test_methods_of_the_first_seed_alone_are_shown_as_such(results):
    path = results / "compare_simulated_1.json"
    study = json.loads(path.read_text())
    study["localization"] = [x for x in study["localization"] if evidence.READ_ALIKE not in x["method"]]
    path.write_text(json.dumps(study))
    text = evidence.page(results)
    assert "| TorchCAM LayerCAM, level 2, read as HR-CAM (base) | 0.500 | 0.500 |" in text
    assert "| pixel AP, joint / best LayerCAM read as HR-CAM (simulated) | >= 1 | **1.200** (1.200) | met |" in text


def test_fitted_densenet_stands_beside_grad_cam_and_its_classifier(results):
    text = evidence.page(results)
    assert "| simulated | HR-CAM, fitted | 0.950 | 0.510 | 0.51 | 0.510 |" in text
    assert "| simulated | MONAI Grad-CAM (base) | 0.950 | 0.110 | 0.11 | 0.110 |" in text
    assert "| DenseNet121: AUC, fit_head minus the classifier's own (simulated) | >= -0.02 | **0.000** (0.000) | met |" in text
    assert "| DenseNet121: pixel AP, fit_head / Grad-CAM (simulated) | >= 1 | **4.636** (4.636) | met |" in text


def test_a_classifier_at_chance_is_not_judged(results):
    path = results / "densenet_simulated.json"
    study = json.loads(path.read_text())
    for row in study["classification"]:
        row["auc"] = 0.5
    path.write_text(json.dumps(study))
    text = evidence.page(results)
    assert "| DenseNet121: pixel AP, fit_head / Grad-CAM (simulated) | >= 1 | **4.636** (4.636) | not judged" in text


def test_what_is_not_there_is_said(results):
    assert "Not measured yet" in evidence.page(results)
    assert "{" not in evidence.page(results).replace("{`", "")


def test_the_committed_page_is_the_generated_one():
    if not list(evidence.RESULTS.glob("compare_*.json")):
        pytest.skip("no results")
    assert evidence.PAGE.read_text() == evidence.page()

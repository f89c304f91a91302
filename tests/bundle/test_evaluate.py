from __future__ import annotations

import csv
import json

import pytest

from tests.bundle.runs import run
from tests.conftest import ROOT
from tests.processes import run_module


@pytest.mark.parametrize("configs", [("evaluate",), ("train", "evaluate")])
def test_metrics_tables_and_figure(configs, cohort, tmp_path):
    """Alone, and laid over train.json as the Model Zoo does."""
    shipped = {} if configs == ("evaluate",) else {"num_workers": 0}
    done = run(*configs, cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **shipped)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    found = metrics["classification"]
    assert found["subjects"] == 4
    assert {"accuracy", "auc", "auc_ci95", "sensitivity", "specificity", "confusion_matrix"} <= set(found)
    assert metrics["localization"]["subjects_with_mask"] == 2
    assert {"pixel_ap", "best_dice", "pointing"} <= set(metrics["localization"])
    assert set(metrics["groups"]) == {"plain", "moderate"}
    assert len(list(csv.DictReader((tmp_path / "out" / "per_subject.csv").open()))) == 4
    assert (tmp_path / "out" / "evaluation.png").is_file()
    assert not (tmp_path / "out" / "compare").exists()  # nobody asked for it
    assert set(metrics["displacement"]["map"]) == {"axis0", "axis1"}


@pytest.mark.slow
def test_comparison_by_one_option(cohort, tmp_path):
    done = run("evaluate", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", compare=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "compare" / "comparison.md").read_text()
    assert "| HR-CAM, network | all | 2 |" in text
    assert "| MONAI Grad-CAM (network) | all | 2 |" in text
    assert "Left out: MONAI CAM (network): CAM needs logits from global average pooling" in text


def test_weights_of_another_network(cohort, tmp_path):
    more = {"backbone::channels": [4, 6], "backbone::convs": [1, 1]}
    done = run("evaluate", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **more)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "model.pt: weights of another network" in last
    assert last.endswith("use the configuration of the network they belong to.")


def test_classes_that_the_weights_do_not_know(cohort, tmp_path):
    others = {"cwd": tmp_path, "dataset_dir": cohort, "output_dir": tmp_path / "out", "classes": "['a','b']"}
    done = run("evaluate", **others)
    assert done.returncode != 0
    assert 'classes was ["normal", "abnormal"], is ["a", "b"]' in done.stderr.splitlines()[-1]
    done = run("evaluate", insist=True, **others)
    assert done.returncode != 0
    assert done.stderr.strip().endswith("make them the same.")
    three = "['a','b','c']"
    done = run("inference", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", classes=three)
    assert done.returncode != 0
    assert "model.pt: weights for 2 classes, but 3 are configured; give the classes" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_weights_are_not_run_as_what_they_are_not(cohort, tmp_path):
    """The two-stage weights pool by the mean: without their overlay they gave wrong labels, and no word of it."""
    options = {
        "cwd": tmp_path,
        "dataset_dir": cohort,
        "checkpoint": ROOT / "benchmarks" / "models" / "two_stage.pt",
        "num_workers": 0,
    }
    refused = run("evaluate", output_dir=tmp_path / "a", **options)
    assert refused.returncode == 1
    assert (
        'two_stage.pt: not trained with what it is to be run with: slice_sigma was 0.0, is 2.0; pooling was "gap", is "lse"'
        in (refused.stderr.splitlines()[-1])
    )
    assert not (tmp_path / "a" / "metrics.json").exists()
    told = run("evaluate", "two_stage", output_dir=tmp_path / "b", **options)
    assert told.returncode == 0, told.stderr
    assert run("evaluate", output_dir=tmp_path / "c", insist=True, **options).returncode == 0
    ways = [json.loads((tmp_path / way / "metrics.json").read_text())["classification"] for way in "bc"]
    assert ways[0] != ways[1]
    line = ["evaluate", options["checkpoint"], cohort, "--output-dir", tmp_path / "d", "--set", "num_workers=0"]
    done = run_module("hrcam_monai", *line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d" / "per_subject.csv").read_text() == (tmp_path / "b" / "per_subject.csv").read_text()

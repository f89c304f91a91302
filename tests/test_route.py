"""The whole way of a study, as a user walks it: from a folder of DICOM or BIDS to out-of-fold maps, report and group maps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import pytest

from hrcam_monai.data import load_manifest
from hrcam_monai.phantoms.simulate import simulate_cohort
from hrcam_monai.utils.csv_files import read_csv
from tests.bundle.runs import CONFIGS, TINY
from tests.conftest import ROOT
from tests.processes import run_module

sys.path.insert(0, str(ROOT / "benchmarks"))
from as_source import NAME, Layout, as_source

QUICK = {k: v for k, v in TINY.items() if k.startswith("backbone")}
QUICK |= {"base_epochs": 1, "epochs": 1, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2, "num_workers": 0}
ROUTES = {
    "parkinson_nm": (
        {"layout": Layout.DICOM, "spacing": 1.5},
        ["--series", "NM", "--labels", "{0}/labels.csv", "--regions", "{0}/regions", "--slices-from", "regions", "--keep-skull"],
        {"spacing": [1.5, 1.5, 2.2], "roi_size": [32, 32, 12], "map_class": "parkinson"},
    ),
    "ependymoma_gbm": (
        {"layout": Layout.BIDS, "spacing": 5.0},
        ["--match", "ce-gd", "--slices-from", "masks"],
        {"spacing": [8.0, 8.0, 8.0], "roi_size": [24, 28, 20], "slice_sigma": 1.0, "map_class": "glioblastoma"},
    ),
}


def tell(*arguments: object, cwd: Path) -> str:
    """Run one of the package's commands; what it printed."""
    done = run_module("hrcam_monai", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", ROUTES)
def test_from_a_source_to_group_maps(task, tmp_path):
    made, options, settings = ROUTES[task]
    simulate_cohort(tmp_path / "cohort", subjects=8, seed=1, split=(1, 0, 0), spacing=made["spacing"], workers=1, task=task)
    as_source(tmp_path / "cohort", tmp_path, made["layout"])
    line = ["prepare", "source", "--output", "study", "--iterations", "5", "--masks", "masks", "--covariate", "grade"]
    told = tell(*line, *(o.format(tmp_path) for o in options), "--split", 1, 0, 0, cwd=tmp_path)
    entries = load_manifest(tmp_path / "study", strict=True).entries["training"]
    assert len(entries) == 8
    assert all(e["slices"] for e in entries)
    set_ = [word for key, value in (settings | QUICK).items() for word in ("--set", f"{key}={value}")]
    line = ["cross-validate", "--dataset-dir", "study", "--output", "folds", "--folds", 2, "--bundle-root", CONFIGS.parent]
    told += tell(*line, "--overlay", f"tasks/{task}", *set_, cwd=tmp_path)
    rows = read_csv(tmp_path / "folds" / "predictions.csv")
    assert sorted(r["subject"] for r in rows) == sorted(e["subject"] for e in entries)
    for row in rows:
        heat, scan = (nib.load(p) for p in (tmp_path / "folds" / "maps" / f"{row['subject']}_map.nii.gz", row["file"]))
        assert heat.shape == scan.shape
    metrics = json.loads((tmp_path / "folds" / "metrics.json").read_text())
    assert {"auc_ci95", "permutation_p"} <= set(metrics["network"])
    assert set(metrics["baselines"]) >= {"intensity and size"}
    assert metrics["localization"]["subjects_with_mask"] >= 4
    told += tell("report", "folds", cwd=tmp_path)
    told += tell(
        "group", "folds", "--output", "group", "--dataset-dir", "study", "--permutations", 99, "--spacing", 4, cwd=tmp_path
    )
    assert json.loads((tmp_path / "group" / "group.json").read_text())["subjects"] == 8
    for file in tmp_path.rglob("*"):
        if file.suffix in (".json", ".csv", ".md", ".html", ".txt") and "source" not in file.parts:
            told += file.read_text()
    for word in (NAME.split("^")[0], "19510203", "20240506"):
        assert word.lower() not in told.lower()

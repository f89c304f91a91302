from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from hrcam_monai.networks import HRCAMNet, StageCNN
from tests.data.dicom import write_series
from tests.processes import run_module


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_module("hrcam_monai", *arguments, cwd=Path.cwd())


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["simulate"],
        ["prepare"],
        ["report"],
        ["dicom"],
        ["compare"],
        ["infer"],
        ["evaluate"],
        ["cross-validate"],
        ["fit-head"],
        ["package"],
        ["verify"],
    ],
)
def test_help(command):
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage: python -m hrcam_monai" in done.stdout


def test_simulate(tmp_path):
    arguments = [
        "simulate",
        "--output",
        str(tmp_path / "c"),
        "--subjects",
        "2",
        "--spacing",
        "5",
        "--split",
        "0",
        "0",
        "1",
        "--oblique",
        "1",
    ]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "c" / "manifest.json").read_text())["test"]) == 2
    again = run(*arguments, "--seed", "8")
    assert again.returncode != 0
    assert "this folder holds a cohort of other settings (seed); choose another --output." in again.stderr


def test_prepare(tmp_path):
    for i, name in enumerate(("s1", "s2")):
        write_series(tmp_path / "in" / name, values=np.pad(np.full((4, 20, 16), 90 + i), ((1, 1), (2, 2), (2, 2))))
    (tmp_path / "labels.tsv").write_text("participant_id\tdiagnosis\ns1\tcontrol\ns2\tpatient\n")
    common = ["prepare", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--workers", "1"]
    done = run(*common, "--labels", str(tmp_path / "labels.tsv"), "--no-n4", "--split", "0", "0", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"prepared: {tmp_path / 'out' / 'manifest.json'}\n"
    assert "classes: control (reference), patient" in done.stderr
    assert len(json.loads((tmp_path / "out" / "manifest.json").read_text())["test"]) == 2
    bad = run(*common, "--unlabelled", "--no-n4", "--series", "FLAIR")
    assert bad.returncode == 1
    assert bad.stderr.endswith(f"2 subject(s) could not be processed; see {tmp_path / 'out' / 'failures.csv'}\n")
    useless = run(*common, "--unlabelled", "--covariate", "age")
    assert useless.returncode == 1
    assert useless.stderr.startswith("error: --slices-from and --covariate go into the manifest, and --unlabelled writes none")
    gone = run("prepare", str(tmp_path / "gone"), "--output", str(tmp_path / "out"))
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"error: {tmp_path / 'gone'}: no such folder; give a BIDS folder")


def test_report_of_a_folder_without_predictions(tmp_path):
    done = run("report", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.endswith("predictions.csv: not found; run inference.json into this folder first.\n")


def test_compare_two_networks_and_a_classifier(cohort, tmp_path, bundle_root):
    tiny = {"roi_size": [24, 28, 20], "spacing": [8.0, 8.0, 8.0], "backbone::channels": [4, 6], "backbone::convs": [1, 1]}
    (tmp_path / "tiny.json").write_text(json.dumps(tiny))
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.save(net.backbone.state_dict(), tmp_path / "cnn.pt")
    named = [f"{n}={tmp_path / f}.pt:{tmp_path / 'tiny.json'}" for n, f in (("ours", "net"), ("plain", "cnn"))]
    common = ["--dataset-dir", str(cohort), "--bundle-root", str(bundle_root), "--output", str(tmp_path / "out")]
    done = run("compare", *common, "--network", named[0], "--network", named[1], "--method", "MONAI CAM", "--panels", "1")
    assert done.returncode == 0, done.stderr
    assert "| HR-CAM, ours | all | 2 |" in done.stdout
    assert "| MONAI CAM (plain) | all | 2 |" in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "comparison.json", "comparison.md", "panels", "per_subject.csv", "settings.json", "summary.png"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("joint", "network 'joint' is not of the form NAME=WEIGHTS[:OVERLAY]."),
        ("joint=no.pt", "no.pt: no such weights file; train first, or give the path of one."),
        ("joint=no.pt:no.json", "no.json: no such config; give --bundle-root, or the name or path of a config."),
    ],
)
def test_compare_of_bad_networks(cohort, tmp_path, bundle_root, spec, message):
    common = ["--dataset-dir", str(cohort), "--bundle-root", str(bundle_root), "--output", str(tmp_path)]
    done = run("compare", *common, "--network", spec)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {message}"

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hrcam_monai", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("command", [[], ["simulate"], ["report"]])
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
    assert "this folder holds a cohort of other settings; choose another --output." in again.stderr


def test_report_of_a_folder_without_predictions(tmp_path):
    done = run("report", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.endswith("predictions.csv: not found; run inference.json into this folder first.\n")

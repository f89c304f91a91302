"""Every command that resumes, killed in the middle: called again it does the rest, and all is as if it had never stopped.

Training and cross-validation, which take minutes, have tests of their own: `engines/test_resuming.py` and
`cross_validation/test_run.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hrcam_monai.weights import save_weights
from hrcam_monai.workflows.configs import bundle_parser
from hrcam_monai.workflows.model_settings import write_model_settings
from tests.bundle.runs import TINY
from tests.conftest import ROOT, save_head
from tests.processes import environment, run_module

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills a group of processes")]
BUNDLE = ROOT / "bundle"


@dataclass(frozen=True)
class Case:
    """A command that resumes.

    Attributes:
        line: its words for an output folder and a folder of input.
        made: pattern of what it makes one by one.
        begun: whether the middle is reached, of what is made so far.
        outcome: patterns of what must not differ; the rest tells of machine and time.
        more: words of the second call.
    """

    line: Callable[[Path, Path], list[object]]
    made: str
    begun: Callable[[Sequence[Path]], bool]
    outcome: tuple[str, ...]
    more: tuple[str, ...] = ()


def some(files: Sequence[Path]) -> bool:
    return len(files) >= 2


def lines(files: Sequence[Path]) -> bool:
    return any(len(f.read_text().splitlines()) >= 3 for f in files)


CASES = {
    "simulate": Case(
        lambda out, _: ["simulate", "--output", out, "--subjects", 12, "--spacing", 3, "--workers", 1, "--seed", 4],
        "images/*.json",
        some,
        ("*.json", "images/*", "masks/*"),
    ),
    "prepare": Case(
        lambda out, scans: ["prepare", scans, "--output", out, "--unlabelled", "--strip", "never", "--workers", 1],
        "images/*.json",
        some,
        ("images/*",),
    ),
    "infer": Case(
        lambda out, scans: [
            *("infer", scans / "model", scans / "cohort" / "images", "--output-dir", out),
            *("--overlay", scans / "tiny.json", "--set", "num_workers=0", "--bundle-root", BUNDLE),
        ],
        "predictions.csv",
        lines,
        ("predictions.csv", "settings.json", "maps/*"),
    ),
    "compare": Case(
        lambda out, scans: [
            *("compare", "--dataset-dir", scans / "cohort", "--output", out, "--network", f"net={scans / 'model'}"),
            *("--method", "MONAI Grad-CAM", "--no-alike", "--panels", 0),
            *("--overlay", scans / "tiny.json", "--bundle-root", BUNDLE),
        ],
        "per_subject.csv",
        lines,
        ("per_subject.csv", "comparison.md"),
        ("--resume",),
    ),
}


@pytest.fixture
def scans(tmp_path: Path, cohort: Path) -> Path:
    """A BIDS folder of six heads; in it a simulated cohort, and an untrained model folder with its overlay."""
    for i in range(6):
        path = tmp_path / "scans" / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        save_head(path, (60 + i, 70, 50))  # each another image
    (tmp_path / "scans" / "cohort").symlink_to(cohort)
    (tmp_path / "scans" / "tiny.json").write_text(json.dumps(TINY))
    (tmp_path / "scans" / "model").mkdir()
    weights = tmp_path / "scans" / "model" / "model.pt"
    parser = bundle_parser(BUNDLE, [str(tmp_path / "scans" / "tiny.json")], "inference")
    save_weights(parser.get_parsed_content("network_def"), weights)
    write_model_settings(weights, parser.get_parsed_content("model_settings"))
    return tmp_path / "scans"


def digest(folder: Path, patterns: Sequence[str]) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for pattern in patterns for p in sorted(folder.glob(pattern)) if p.is_file()
    }


def killed(words: Sequence[object], out: Path, case: Case, cwd: Path) -> None:
    """Run the command until some of what it makes is there, and kill it with all its processes."""
    line = [sys.executable, "-W", "ignore", "-m", "hrcam_monai", *map(str, words)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(line, cwd=cwd, env=environment(), start_new_session=True, **quiet) as process:
        while process.poll() is None and not case.begun(sorted(out.glob(case.made))):
            time.sleep(0.02)
        assert process.returncode is None, f"{words[0]} ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", CASES)
def test_killed_and_called_again_is_as_never_stopped(name, scans, tmp_path):
    case = CASES[name]
    whole, out = tmp_path / "whole", tmp_path / "out"
    done = run_module("hrcam_monai", *case.line(whole, scans), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    killed(case.line(out, scans), out, case, tmp_path)
    expected, half = digest(whole, case.outcome), digest(out, case.outcome)
    assert half != expected
    made = [p for p in out.glob(case.made) if not p.name.startswith(".")]  # a hidden one is being written
    kept = {p: p.stat().st_mtime_ns for p in made if p.suffix != ".csv"}
    done = run_module("hrcam_monai", *case.line(out, scans), *case.more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert digest(out, case.outcome) == expected
    assert all(p.stat().st_mtime_ns == when for p, when in kept.items())  # what was done is not done again

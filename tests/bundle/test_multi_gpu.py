"""Several processes give what one gives; the lost and the broken cost only themselves."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bundle.runs import CONFIGS, command, run
from tests.conftest import save_head
from tests.processes import environment


def rows(path):
    return list(csv.DictReader(path.open()))


def infer(source, folder, processes=0, **more):
    configs = ["inference", *(["multi_gpu_inference"] if processes else [])]
    return run(*configs, cwd=folder, processes=processes, dataset_dir=source, output_dir=folder / "out", num_workers=0, **more)


@pytest.fixture(scope="module")
def scans(cohort, tmp_path_factory):
    """Five heads, the third of which is empty."""
    folder = tmp_path_factory.mktemp("scans")
    entries = json.loads((cohort / "manifest.json").read_text())["test"]
    for i, entry in enumerate(entries):
        shutil.copy(cohort / entry["image"], folder / f"head{i}.nii.gz")
    (folder / "head1b.nii.gz").touch()
    return folder


@pytest.fixture(scope="module")
def single(scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    assert infer(scans, folder).returncode == 1
    return folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_predictions_are_those_of_one_process_each_subject_once(scans, single, tmp_path, processes):
    """Uneven shares, and a subject that one process cannot read."""
    done = infer(scans, tmp_path, processes)
    assert done.returncode != 0
    assert (tmp_path / "out" / "predictions.csv").read_text() == (single / "predictions.csv").read_text()
    assert (tmp_path / "out" / "failures.csv").read_text() == (single / "failures.csv").read_text()
    assert [r["subject"] for r in rows(tmp_path / "out" / "failures.csv")] == ["head1b"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in single.iterdir())
    maps = [sorted(p.name for p in (out / "maps").iterdir()) for out in (single, tmp_path / "out")]
    assert maps[0] == maps[1]


def test_overlays_leave_the_items_to_whoever_gives_them():
    """MONAI Label puts its own items into the datasets, and lists the overlay after."""
    for path in CONFIGS.glob("multi_gpu_*.json"):
        assert not [key for key in json.loads(path.read_text()) if key.endswith("dataset::data")], path


@pytest.mark.slow
def test_fewer_subjects_than_processes(scans, single, tmp_path):
    done = infer(scans / "head0.nii.gz", tmp_path, 3)
    assert done.returncode == 0, done.stderr
    expected = [r for r in rows(single / "predictions.csv") if r["subject"] == "head0"]
    assert rows(tmp_path / "out" / "predictions.csv") == expected


@pytest.mark.slow
def test_metrics_are_those_of_one_process(cohort, tmp_path):
    for name, processes in (("one", 0), ("three", 3)):
        configs = ["evaluate", *(["multi_gpu_evaluate"] if processes else [])]
        done = run(*configs, cwd=tmp_path, processes=processes, dataset_dir=cohort, output_dir=tmp_path / name, num_workers=0)
        assert done.returncode == 0, done.stderr
    one, three = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "three"))
    assert one == three
    assert (tmp_path / "one" / "per_subject.csv").read_text() == (tmp_path / "three" / "per_subject.csv").read_text()


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_a_killed_process_ends_the_run_and_the_next_run_does_the_rest(tmp_path):
    (tmp_path / "scans").mkdir()
    for i in range(24):
        save_head(tmp_path / "scans" / f"head{i:02d}.nii.gz", shape=(60, 70, 50))
    out = tmp_path / "out"
    options = {"dataset_dir": tmp_path / "scans", "output_dir": out, "num_workers": 0}
    line = command("inference", "multi_gpu_inference", processes=2, **options)
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (out / "predictions_rank1.csv").exists():
            time.sleep(0.05)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        assert process.wait(timeout=120) != 0
    before = {
        r["subject"]: r
        for name in ("predictions.csv", "predictions_rank1.csv")
        if (out / name).exists()
        for r in rows(out / name)
    }
    assert 0 < len(before) < 24
    done = infer(tmp_path / "scans", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(before)} of 24 subjects are there from an earlier run" in done.stderr + done.stdout
    after = rows(out / "predictions.csv")
    assert [r["subject"] for r in after] == [f"head{i:02d}" for i in range(24)]
    assert all(before[r["subject"]] == r for r in after if r["subject"] in before)
    assert not list(out.glob("predictions_rank*"))

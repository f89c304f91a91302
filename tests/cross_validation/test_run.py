from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import pytest
from monai.bundle import ConfigWorkflow

from hrcam_monai.cross_validation.run import run_folds
from hrcam_monai.engines import last_checkpoint
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.utils.csv_files import read_csv
from hrcam_monai.utils.files import OutputError
from tests.bundle.runs import TINY, run
from tests.processes import environment, run_module

QUICK = {**TINY, "base_epochs": 1, "epochs": 2, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2, "num_workers": 0}


def line(cohort: Path, out: Path, bundle_root: Path, *more: str, **settings: object) -> list[str]:
    given = [word for key, value in {**QUICK, **settings}.items() for word in ("--set", f"{key}={value}")]
    start = ["cross-validate", "--dataset-dir", str(cohort), "--output", str(out)]
    return [*start, "--folds", "2", "--bundle-root", str(bundle_root), *given, *more]


def call(*arguments, **settings) -> subprocess.CompletedProcess[str]:
    return run_module("hrcam_monai", *line(*arguments, **settings), cwd=Path.cwd(), timeout=900)


@pytest.fixture(scope="module")
def study(cohort, tmp_path_factory):
    """The small cohort with two subjects that cannot be used: an empty file, and a label that is none."""
    copy = shutil.copytree(cohort, tmp_path_factory.mktemp("study") / "cohort")
    content = json.loads((copy / "manifest.json").read_text())
    (copy / content["test"][0]["image"]).write_bytes(b"")
    content["test"][1]["label"] = "odd"
    (copy / "manifest.json").write_text(json.dumps(content))
    return copy, sorted(e["subject"] for e in content["test"][:2])


@pytest.fixture(scope="module")
def done(study, bundle_root, tmp_path_factory):
    """Two folds, without interruption; status 1, for two subjects are left out."""
    out = tmp_path_factory.mktemp("cross") / "run"
    result = call(study[0], out, bundle_root)
    assert result.returncode == 1, result.stderr
    page = (out / "cross_validation.md").read_text()
    assert "| intensity and size | 10 |" in page
    assert f"{page}\nresults: {out}" in result.stdout
    return out


def runs(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_every_subject_has_an_out_of_fold_prediction_and_map(done, study):
    table = read_csv(done / "predictions.csv")
    assert [r["subject"] for r in table] == sorted({f"sub-{i:04d}" for i in range(1, 13)} - set(study[1]))
    for row in table:
        fold = json.loads((done / f"fold_{row['fold']}" / "manifest.json").read_text())
        assert row["subject"] in [e["subject"] for e in fold["test"]]
        image = nib.load(row["file"])
        assert nib.load(done / "maps" / f"{row['subject']}_map.nii.gz").shape == image.shape
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["network"]["subjects"] == 10
    assert metrics["localization"]["subjects_with_mask"] == sum(r["label"] == "abnormal" for r in table)
    assert set(metrics["baselines"]) == {"intensity and size"}
    text = (done / "cross_validation.md").read_text()
    assert "Cross-validation, 10 subjects" in text
    assert "## Network less baseline" in text
    assert not list((done / "fold_0").rglob("images"))


@pytest.mark.slow
def test_a_held_out_subject_passes_through_its_network_once(done, bundle_root, tmp_path, monkeypatch):
    """Its slices are read once, through each flip; the scores are those of an evaluation of their own."""
    fold = done / "fold_0"
    assert json.loads((fold / "finished.json").read_text()) == ["train", "inference"]
    read: list[int] = []
    maps_of = HRCAMNet.native_maps
    monkeypatch.setattr(HRCAMNet, "native_maps", lambda self, x: read.append(len(x)) or maps_of(self, x))
    files = [str(bundle_root / "configs" / f"{name}.json") for name in ("inference", "held_out")]
    told = {"bundle_root": str(bundle_root), "dataset_dir": str(fold), "split": "test", "checkpoint": str(fold / "model.pt")}
    files.append(str(done / "configs" / "inference.json"))
    workflow = ConfigWorkflow(config_file=files, workflow_type=None, output_dir=str(tmp_path / "again"), **told)
    workflow.initialize()
    with contextlib.suppress(SystemExit):  # the bad subject is held out in this fold, or in the other
        workflow.run()
    rows = read_csv(tmp_path / "again" / "per_subject.csv")
    slices, flips = QUICK["roi_size"][2], 4
    assert sum(read) == len(rows) * slices * flips
    assert (tmp_path / "again" / "per_subject.csv").read_text() == (fold / "inference" / "per_subject.csv").read_text()
    same = ("roi_size", "spacing", "backbone::channels", "backbone::convs", "num_workers")
    options = {**told, **{key: QUICK[key] for key in same}, "output_dir": tmp_path / "alone"}
    options["manifest::root"] = json.loads((done / "configs" / "inference.json").read_text())["found::root"]
    options.pop("bundle_root")
    alone = run("evaluate", cwd=tmp_path, **options)
    assert alone.returncode in (0, 1), alone.stderr
    assert read_csv(tmp_path / "alone" / "per_subject.csv") == rows
    moved = [
        json.loads((f / "metrics.json").read_text())["displacement"]["map"] for f in (tmp_path / "again", tmp_path / "alone")
    ]
    for axis in ("axis0", "axis1"):
        assert moved[0][axis]["voxels"] == pytest.approx(moved[1][axis]["voxels"], abs=0.01)


@pytest.mark.slow
def test_a_bad_subject_costs_only_itself(done, study):
    assert sorted(f["subject"] for f in read_csv(done / "failures.csv")) == study[1]


@pytest.mark.slow
def test_finished_folds_are_not_run_again_and_other_settings_stop(done, study, bundle_root):
    before = {p: p.stat().st_mtime_ns for p in done.glob("fold_*/**/*") if p.suffix == ".pt"}
    text = (done / "metrics.json").read_text()
    assert call(study[0], done, bundle_root).returncode == 1
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert (done / "metrics.json").read_text() == text
    other = call(study[0], done, bundle_root, epochs=3)
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1].startswith(f"error: {done}: was made with other settings or images (set); give")
    image = next(study[0].glob("images/sub-0003*"))
    kept = image.read_bytes()
    nib.save(nib.Nifti1Image(2 * nib.load(image).get_fdata(), nib.load(image).affine), image)
    changed = call(study[0], done, bundle_root)
    image.write_bytes(kept)
    assert changed.returncode == 1
    assert "was made with other settings or images (images); give" in changed.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_fold_that_cannot_be_read_costs_itself(done, study, bundle_root, tmp_path):
    out = shutil.copytree(done, tmp_path / "run")
    table = out / "fold_1" / "inference" / "predictions.csv"
    table.write_bytes(b"subject,file,predicted\n\xff\xfe,\n")
    result = call(study[0], out, bundle_root)
    assert result.returncode == 1
    page = (out / "cross_validation.md").read_text()
    assert f"{page}\nresults: {out}" in result.stdout
    assert "1 of 2 folds\n" in page
    assert f"- **fold_1 is missing**: {table}: cannot be read (" in page
    assert f"remove {table.parents[1]}, and call again." in page
    assert "1 of 2 folds could not be processed; a second call runs them alone" in result.stderr
    assert list(json.loads((out / "metrics.json").read_text())["failed_folds"]) == ["fold_1"]
    assert {row["fold"] for row in read_csv(out / "predictions.csv")} == {"0"}
    shutil.rmtree(out / "fold_1")
    assert call(study[0], out, bundle_root).returncode == 1  # for the two subjects
    assert "2 folds\n" in (out / "cross_validation.md").read_text()
    assert (out / "predictions.csv").read_text().count("\n") == (done / "predictions.csv").read_text().count("\n")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="sees a group of processes")
def test_of_a_killed_command_no_process_runs_on(study, bundle_root, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "hrcam_monai", *line(study[0], out, bundle_root, epochs=500)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and last_checkpoint(out / "fold_0", "train") is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)  # it alone
    deadline = time.monotonic() + 20
    while runs(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(process.pid)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills a group of processes")
def test_killed_and_called_again_gives_the_same(done, study, bundle_root, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "hrcam_monai", *line(study[0], out, bundle_root)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and last_checkpoint(out / "fold_0", "train") is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (out / "predictions.csv").exists()
    result = call(study[0], out, bundle_root)
    assert result.returncode == 1, result.stderr
    assert "resuming from" in (out / "fold_0" / "log.txt").read_text()
    for name in ("predictions.csv", "per_subject.csv", "metrics.json", "cross_validation.md", "failures.csv"):
        assert (out / name).read_text() == (done / name).read_text(), name


class Fold:
    """Stands for a fold: notes the GPU that it was given, and how many run at once."""

    running = most = 0

    def __init__(self, number, fault=None):
        self.folder, self.fault, self.gpu = Path(f"fold_{number}"), fault, "none"

    def run(self, gpu, tell):
        Fold.running += 1
        Fold.most = max(Fold.most, Fold.running)
        time.sleep(0.05)
        Fold.running -= 1
        self.gpu = gpu
        if self.fault:
            raise self.fault


@pytest.mark.parametrize("gpus", [[], ["0"], ["0", "3"]])
def test_a_fold_on_each_gpu_at_a_time(gpus):
    Fold.most = 0
    folds = [Fold(i) for i in range(5)]
    run_folds(folds, gpus)
    assert {f.gpu for f in folds} == set(gpus or [None])
    assert Fold.most == max(1, len(gpus))


def test_a_fold_that_fails_costs_itself():
    folds = [Fold(0), Fold(1, RuntimeError("fold_1: no")), Fold(2)]
    assert run_folds(folds, []) == {"fold_1": "fold_1: no"}
    assert [f.gpu for f in folds] == [None, None, None]
    with pytest.raises(RuntimeError, match="fold_0: no"):
        run_folds([Fold(0, RuntimeError("fold_0: no")), Fold(1, OSError("fold_1: no"))], [])


def test_on_a_full_disk_no_further_fold_is_begun():
    folds = [Fold(0), Fold(1, OutputError("finished.json: could not be written")), Fold(2)]
    with pytest.raises(OutputError):
        run_folds(folds, [])
    assert [f.gpu for f in folds] == [None, None, "none"]


@pytest.mark.slow
def test_a_fold_that_cannot_be_trained_is_told_in_one_line(cohort, bundle_root, tmp_path):
    result = call(cohort, tmp_path / "run", bundle_root, roi_size="[0,0]")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: fold_0: train ended with status 1 (")
    assert last.endswith(f"see {tmp_path / 'run' / 'fold_0' / 'log.txt'}.")


def test_too_few_subjects_are_told_in_one_line(cohort, bundle_root, tmp_path):
    result = call(cohort, tmp_path / "run", bundle_root, "--folds", "7")
    assert result.returncode == 1
    message = "class 'normal' has 6 subjects, 7 folds need 7 of each class; add subjects, or give --folds 6."
    assert result.stderr.splitlines()[-1] == f"error: {cohort / 'manifest.json'}: {message}"
    assert not (tmp_path / "run").exists()

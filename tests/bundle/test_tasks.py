"""The task overlays, as a user lists them: train, evaluate and infer on a handful of phantoms."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data import simulate_cohort
from tests.bundle.runs import TINY, run

NETWORK = {k: v for k, v in TINY.items() if k.startswith("backbone")}
QUICK = {"base_epochs": 1, "epochs": 1, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2}
TASKS = {  # spacing of the phantoms; and the grid of the network
    "ependymoma_gbm": (5.0, {"spacing": [8.0, 8.0, 8.0], "roi_size": [24, 28, 20], "slice_sigma": 1.0}),
    "parkinson_nm": (1.5, {"spacing": [1.5, 1.5, 2.2], "roi_size": [32, 32, 12]}),
}


@pytest.fixture(scope="module", params=list(TASKS))
def phantoms(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    spacing = TASKS[request.param][0]
    simulate_cohort(folder, subjects=8, seed=1, spacing=spacing, split=(2, 1, 1), workers=1, task=request.param)
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("overlays", [[], ["spatial_3d"]], ids=["2d", "3d"])
def test_trains_evaluates_and_infers(phantoms, overlays, tmp_path):
    task, cohort = phantoms
    configs, grid = [f"tasks/{task}", *overlays], dict(TASKS[task][1])
    if overlays:
        grid.pop("slice_sigma", None)
    options = {"cwd": tmp_path, "dataset_dir": cohort, **grid, **NETWORK}
    done = run("train", *configs, output_dir=tmp_path / "run", **options, **QUICK)
    assert done.returncode == 0, done.stderr
    options |= {"checkpoint": tmp_path / "run" / "model.pt", "num_workers": 0}

    done = run("evaluate", *configs, output_dir=tmp_path / "eval", **options)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    both = task == "ependymoma_gbm"  # there either class has a mask
    assert metrics["classification"]["classes"] == (["ependymoma", "glioblastoma"] if both else ["control", "parkinson"])
    assert metrics["localization"]["subjects_with_mask"] == (2 if both else 1)

    done = run("inference", *configs, output_dir=tmp_path / "maps", split="test", **options)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "maps" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        scan, heat, label = (
            nib.load(path)
            for path in (row["file"], *(tmp_path / "maps" / "maps" / f"{row['subject']}_{k}.nii.gz" for k in ("map", "label")))
        )
        assert scan.shape == heat.shape == label.shape
        np.testing.assert_allclose(scan.affine, heat.affine, atol=1e-4)
        value = metrics["classification"]["classes"].index(row["predicted"]) + both
        assert set(np.unique(np.asarray(label.dataobj))) <= {0, value}
        assert both or heat.get_fdata().shape == (48, 48, 12)


@pytest.mark.slow
def test_one_file_without_regions_is_read_about_its_middle(tmp_path):
    simulate_cohort(tmp_path / "c", subjects=8, seed=1, spacing=1.5, split=(2, 1, 1), workers=1, task="parkinson_nm")
    grid, task = TASKS["parkinson_nm"][1], "tasks/parkinson_nm"
    done = run("train", task, cwd=tmp_path, dataset_dir=tmp_path / "c", output_dir=tmp_path / "run", **grid, **NETWORK, **QUICK)
    assert done.returncode == 0, done.stderr
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slab.nii.gz").write_bytes((tmp_path / "c" / "images" / "sub-0001_NM.nii.gz").read_bytes())
    options = {"checkpoint": tmp_path / "run" / "model.pt", "num_workers": 0, **grid, **NETWORK}
    done = run("inference", task, cwd=tmp_path, dataset_dir=tmp_path / "in", output_dir=tmp_path / "maps", **options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "maps" / "maps" / "slab_map.nii.gz").is_file()


def test_left_and_right_are_not_mirrored_for_parkinson(bundle_root):
    """Neither in training nor in reading, whatever overlay brings the augmentation."""
    from monai.bundle import ConfigParser

    for overlays in ([], ["spatial_3d"]):
        names = ["train", "tasks/parkinson_nm", *overlays]
        content = ConfigParser.load_config_files([str(bundle_root / "configs" / f"{n}.json") for n in names])
        parser = ConfigParser(content)
        mirrored = [t for t in parser.get_parsed_content("augmentation", instantiate=True) if type(t).__name__ == "RandFlipd"]
        chances = {t.flipper.spatial_axis: t.prob for t in mirrored}
        assert chances.get(0, 0) == 0
        assert chances[1] == 0.5
        assert parser.get_parsed_content("flip_axes") == [1]

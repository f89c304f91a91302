"""The task overlays, as a user lists them: train, evaluate and infer on a handful of phantoms."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from nibabel.affines import from_matvec

from hrcam_monai.data import load_manifest
from hrcam_monai.data.manifest import FILES
from hrcam_monai.phantoms.simulate import simulate_cohort
from hrcam_monai.weights import save_weights
from tests.bundle.runs import CONFIGS, TINY, run
from tests.processes import run_module

NETWORK = {k: v for k, v in TINY.items() if k.startswith("backbone")}
QUICK = {"base_epochs": 1, "epochs": 1, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2}
TASKS = {  # spacing of the phantoms; and the grid of the network
    "ependymoma_gbm": (5.0, {"spacing": [8.0, 8.0, 8.0], "roi_size": [24, 28, 20], "slice_sigma": 1.0}),
    "parkinson_nm": (1.5, {"spacing": [1.5, 1.5, 2.2], "roi_size": [32, 32, 12]}),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "overlays"), [("ependymoma_gbm", ["spatial_3d"]), ("parkinson_nm", [])], ids=["tumour-3d", "nigra-2d"]
)
def test_trains_evaluates_infers_and_compares(task, overlays, tmp_path):
    cohort = tmp_path / "cohort"
    simulate_cohort(cohort, subjects=8, seed=1, spacing=TASKS[task][0], split=(2, 1, 1), workers=1, task=task)
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

    (tmp_path / "grid.json").write_text(json.dumps(grid | NETWORK))
    line = ["compare", "--dataset-dir", cohort, "--output", "beside", "--network", f"net={options['checkpoint']}"]
    line += ["--method", "MONAI Grad-CAM", "--no-alike", "--bundle-root", CONFIGS.parent]
    done = run_module("hrcam_monai", *line, *(f"--overlay={name}" for name in (*configs, "grid.json")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = json.loads((tmp_path / "beside" / "comparison.json").read_text())["localization"]
    ours = next(x for x in lines if (x["method"], x["group"]) == ("HR-CAM, net", "all"))
    assert ours["subjects"] == metrics["localization"]["subjects_with_mask"]
    assert ours["pixel_ap"] == pytest.approx(metrics["localization"]["pixel_ap"], abs=1e-4)
    assert both or ours["same_side"] == metrics["localization"]["same_side"]


@pytest.mark.slow
def test_one_file_without_regions_is_read_about_its_middle(tmp_path, bundle_root):
    simulate_cohort(tmp_path / "c", subjects=1, seed=1, spacing=1.5, split=(0, 0, 1), workers=1, task="parkinson_nm")
    grid, task = TASKS["parkinson_nm"][1], "tasks/parkinson_nm"
    (slab,) = (tmp_path / "c" / "images").glob("*.nii.gz")
    options = {"checkpoint": tmp_path / "model.pt", "num_workers": 0, "dataset_dir": slab, **grid, **NETWORK}
    files = [str(bundle_root / "configs" / f"{name}.json") for name in ("inference", task)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.update({k: v for k, v in options.items() if k in NETWORK})
    save_weights(parser.get_parsed_content("network_def"), tmp_path / "model.pt")
    done = run("inference", task, cwd=tmp_path, output_dir=tmp_path / "maps", **options)
    assert done.returncode == 0, done.stderr
    (heat,) = (tmp_path / "maps" / "maps").glob("*_map.nii.gz")
    assert nib.load(heat).shape == nib.load(slab).shape


def test_left_and_right_are_not_mirrored_for_parkinson(bundle_root):
    """Neither in training nor in reading, whatever overlay brings the augmentation."""
    for overlays in ([], ["spatial_3d"]):
        names = ["train", "tasks/parkinson_nm", *overlays]
        content = ConfigParser.load_config_files([str(bundle_root / "configs" / f"{n}.json") for n in names])
        parser = ConfigParser(content)
        mirrored = [t for t in parser.get_parsed_content("augmentation", instantiate=True) if type(t).__name__ == "RandFlipd"]
        chances = {t.flipper.spatial_axis: t.prob for t in mirrored}
        assert chances.get(0, 0) == 0
        assert chances[1] == 0.5
        assert parser.get_parsed_content("flip_axes") == [1]


def test_a_tilted_slab_is_seen_in_its_own_slices(tmp_path):
    """Thick slices are not cut anew: the network sees the same voxels, however the slab lies in the scanner."""
    simulate_cohort(tmp_path, subjects=2, seed=1, spacing=0.75, split=(0, 0, 1), workers=1, task="parkinson_nm")
    (straight,) = load_manifest(tmp_path).items("test", masks=True)[1:]
    tilted, frame = dict(straight), from_matvec(nib.eulerangles.euler2mat(0.1, 0.2, -0.15), [5, -40, 9])
    for key in FILES:
        image = nib.load(straight[key])
        tilted[key] = str(tmp_path / f"{key}.nii.gz")
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), frame @ image.affine), tilted[key])
    parser = ConfigParser()
    parser.read_config([CONFIGS / "evaluate.json", CONFIGS / "tasks" / "parkinson_nm.json"])
    seen = [parser.get_parsed_content("preprocessing")(entry) for entry in (straight, tilted)]
    for key in ("image", "mask"):
        np.testing.assert_allclose(*(item[key].numpy() for item in seen), atol=1e-3)
    assert seen[0]["mask"].sum() > 0

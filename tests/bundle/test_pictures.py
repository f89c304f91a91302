"""The pictures overlay, as a user lists it: train, evaluate and infer on PNG, in grey and in colour, and JPEG."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from hrcam_monai.networks import imagenet_weights
from hrcam_monai.utils.csv_files import read_csv
from hrcam_monai.weights import read_weights, save_weights
from hrcam_monai.workflows.configs import bundle_parser
from tests.bundle.runs import CONFIGS, run
from tests.conftest import ROOT
from tests.pictures import SIZE, picture_cohort
from tests.processes import run_module

OPTIONS = {"roi_size": [24, 24, 1], "backbone::channels": [4, 6], "backbone::convs": [1, 1], "classes": ["none", "square"]}
TUMOURS = ROOT / "bundle" / "models" / "brain_tumor_t1ce" / "model.pt"
QUICK = {"base_epochs": 1, "epochs": 1, "val_interval": 1, "batch_size": 2}


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "colour"), [(".png", False), (".jpg", True)], ids=["grey-png", "colour-jpeg"])
def test_trains_evaluates_and_infers(tmp_path, suffix, colour):
    cohort = picture_cohort(tmp_path / "cohort", suffix=suffix, colour=colour)
    options = OPTIONS | {"cwd": tmp_path, "dataset_dir": cohort, "in_channels": 3 if colour else 1}
    done = run("train", "pictures", output_dir=tmp_path / "run", **options, **QUICK)
    assert done.returncode == 0, done.stderr
    options |= {"checkpoint": tmp_path / "run" / "model.pt", "num_workers": 0}

    done = run("evaluate", "pictures", output_dir=tmp_path / "eval", **options)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text())["localization"]["subjects_with_mask"] == 2

    done = run("inference", "pictures", output_dir=tmp_path / "maps", split="test", **options)
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "maps" / "predictions.csv")
    assert len(rows) == 4
    for row in rows:
        heat = Image.open(tmp_path / "maps" / "maps" / f"{row['subject']}_map.tif")
        label = Image.open(tmp_path / "maps" / "maps" / f"{row['subject']}_label.png")
        assert heat.size == label.size == SIZE
        assert heat.mode == "F"
        assert np.isfinite(np.asarray(heat)).all()
        assert (tmp_path / "maps" / "overlays" / f"{row['subject']}.png").is_file()
    assert (tmp_path / "maps" / "report.html").is_file()


@pytest.mark.slow
def test_a_training_begins_with_imagenet_and_its_folder_is_run_without_overlays(tmp_path):
    cohort = picture_cohort(tmp_path / "cohort")
    small = QUICK | {"cwd": tmp_path, "roi_size": [32, 32, 1], "classes": OPTIONS["classes"]}
    done = run("train", "pictures", "imagenet", dataset_dir=cohort, output_dir=tmp_path / "run", **small)
    assert done.returncode == 0, done.stderr
    published = read_weights(imagenet_weights())["_conv_head.weight"]
    begun = read_weights(tmp_path / "run" / "base_cnn.pt")["_conv_head.weight"]
    assert (begun - published).norm() < 0.3 * published.norm()
    done = run_module("hrcam_monai", "infer", tmp_path / "run", cohort, "--output-dir", tmp_path / "maps", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(read_csv(tmp_path / "maps" / "predictions.csv")) == 12
    assert '"map_scale": "evidence"' in (tmp_path / "maps" / "settings.json").read_text()  # of no task


@pytest.mark.parametrize("task", ["brain_tumor_t1ce", "glioma_flair"])
def test_the_tasks_of_real_tumours_begin_as_imagenet_does(task):
    imagenet, own = (json.loads((CONFIGS / f"{name}.json").read_text()) for name in ("imagenet", f"tasks/{task}"))
    assert {key: own[key] for key in imagenet if key != "translation"} == {
        k: v for k, v in imagenet.items() if k != "translation"
    }


def test_a_colour_picture_where_grey_is_expected_costs_itself_alone(tmp_path, bundle_root):
    cohort = picture_cohort(tmp_path / "cohort")
    grey = Image.open(cohort / "images" / "test0.png")
    Image.merge("RGB", (grey, grey.point(lambda v: v // 2), grey)).save(cohort / "images" / "test0.png")
    parser = ConfigParser()
    parser.read_config([bundle_root / "configs" / "inference.json", bundle_root / "configs" / "pictures.json"])
    for key, value in OPTIONS.items():
        parser[key] = value
    save_weights(parser.get_parsed_content("network_def"), tmp_path / "model.pt")
    options = OPTIONS | {"cwd": tmp_path, "dataset_dir": cohort, "checkpoint": tmp_path / "model.pt", "num_workers": 0}
    done = run("inference", "pictures", output_dir=tmp_path / "maps", split="test", **options)
    assert done.returncode == 1
    (failed,) = read_csv(tmp_path / "maps" / "failures.csv")
    assert failed["subject"] == "test0"
    assert failed["error"].startswith(f"{cohort / 'images' / 'test0.png'}: is in colour, but one grey channel is expected;")
    assert len(read_csv(tmp_path / "maps" / "predictions.csv")) == 3


@pytest.mark.slow
def test_the_shipped_weights_tell_real_tumours_apart(tmp_path):
    """Patients that they have not seen; where the tumours are, they know less well (docs/real_tumours.md)."""
    cohort = ROOT / "examples" / "brain_tumours"
    options = {"cwd": tmp_path, "dataset_dir": cohort, "num_workers": 0}
    done = run("inference", "pictures", "tasks/brain_tumor_t1ce", output_dir=tmp_path / "maps", **options)
    assert done.returncode == 0, done.stderr
    labels = {e["subject"]: e["label"] for e in json.loads((cohort / "manifest.json").read_text())["test"]}
    rows = read_csv(tmp_path / "maps" / "predictions.csv")
    assert len(rows) == 12
    assert sum(row["predicted"] == labels[row["subject"]] for row in rows) >= 9
    line = ["infer", ROOT / "bundle" / "models" / "brain_tumor_t1ce", cohort, "--output-dir", tmp_path / "folder"]
    done = run_module("hrcam_monai", *line, "--set", "num_workers=0", cwd=tmp_path)  # the model's folder tells its overlays
    assert done.returncode == 0, done.stderr
    for name in ("predictions.csv", "settings.json"):
        assert (tmp_path / "folder" / name).read_text() == (tmp_path / "maps" / name).read_text()
    done = run("evaluate", "pictures", "tasks/brain_tumor_t1ce", output_dir=tmp_path / "eval", **options)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert found["localization"]["subjects_with_mask"] == 12
    assert found["localization"]["pixel_ap"] > 0.1  # tumours are 2 % of the picture
    # without the task's overlay the network would be another
    refused = run("inference", "pictures", output_dir=tmp_path / "no", checkpoint=TUMOURS, classes="['a','b','c']", **options)
    assert refused.returncode == 1
    assert 'classes was ["meningioma", "glioma", "pituitary"]' in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("side", [(40, 40), (40, 28), (24, 40)], ids=["square", "upright", "broad"])
def test_scale_and_offset_of_the_intensities_do_not_matter(tmp_path, side):
    """Not those of what a picture is padded with, either."""
    parser = bundle_parser(CONFIGS.parent, ["pictures"])
    pixels = np.random.default_rng(0).random(side).astype(np.float32)
    seen = []
    for name, values in (("a", pixels), ("b", 30 * pixels - 1000)):
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
        seen.append(parser.get_parsed_content("preprocessing")({"image": str(tmp_path / f"{name}.tif")})["image"])
    assert seen[0].shape == (1, 96, 96, 1)
    torch.testing.assert_close(*(image.as_tensor() for image in seen), atol=1e-3, rtol=0)
    if side != (40, 40):
        assert float(seen[0].min()) == float(seen[0][0, 0, 0, 0])

"""MONAI's own export commands, and inference from what they make."""

from __future__ import annotations

import csv

import pytest

from tests.bundle.runs import CONFIGS, run
from tests.processes import run_module

DYNAMIC = {"image": {0: "batch", 2: "height", 3: "width"}}
ONNX = {"input_names": ["image"], "output_names": ["logits", "maps"], "dynamic_axes": DYNAMIC}


def export(command, path, cwd, *options):
    line = [command, "--net_id", "network_def", "--filepath", path]
    line += ["--ckpt_file", str(CONFIGS.parent / "models" / "model.pt"), "--meta_file", str(CONFIGS / "metadata.json")]
    line += ["--config_file", str([str(CONFIGS / "inference.json"), str(CONFIGS / "export.json")])]
    done = run_module("monai.bundle", *line, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr


def predictions(folder):
    return [[row["subject"], float(row["logit_abnormal"])] for row in csv.DictReader((folder / "predictions.csv").open())]


@pytest.mark.slow
def test_inference_from_torchscript_and_onnx_equals_that_from_the_weights(cohort, tmp_path):
    export("ckpt_export", tmp_path / "model.ts", tmp_path)
    export("onnx_export", tmp_path / "model.onnx", tmp_path, "--converter_kwargs", str(ONNX))
    common = {"dataset_dir": cohort, "split": "test", "num_workers": 0}
    done = run("inference", cwd=tmp_path, output_dir=tmp_path / "weights", **common)
    assert done.returncode == 0, done.stderr
    for name, overlay in (
        ("model.ts", "inference_exported"),
        ("model.onnx", "inference_exported"),
        ("model.ts", "inference_trt"),
    ):
        out = tmp_path / f"{name}_{overlay}"
        done = run("inference", overlay, cwd=tmp_path, output_dir=out, exported=tmp_path / name, **common)
        assert done.returncode == 0, done.stderr
        for ours, theirs in zip(predictions(tmp_path / "weights"), predictions(out), strict=True):
            assert theirs == [ours[0], pytest.approx(ours[1], abs=1e-4)]
        assert len(list((out / "maps").glob("*_map.nii.gz"))) == 4


def test_an_exported_model_that_is_not_there(cohort, tmp_path):
    done = run("inference", "inference_exported", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path, exported="gone.onnx")
    assert done.returncode != 0
    assert "gone.onnx: no such exported model; make it with monai.bundle's ckpt_export or onnx_export." in done.stderr

from __future__ import annotations

import csv
import json
import shutil

import pytest
import torch

from hrcam_monai.phantoms.simulate import simulate_cohort
from hrcam_monai.transforms.bias_field import CorrectBiasFieldd
from hrcam_monai.workflows.configs import bundle_parser
from tests.bundle.runs import CONFIGS, TINY, run

QUICK = {**TINY, "base_epochs": 1, "epochs": 2, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2}
SEEDS = {"seeds": 1.0, "seed_rounds": 2}


def weights(folder):
    return torch.load(folder / "model.pt", weights_only=True)


def same(a, b):
    return all(v.shape == b[k].shape and torch.equal(v, b[k]) for k, v in a.items())


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    done = run("train", cwd=folder, dataset_dir=cohort, output_dir=folder / "out", **QUICK)
    assert done.returncode == 0, done.stderr
    return folder


def test_leaves_weights_curves_and_maps_in_the_run_folder_only(trained, bundle_root):
    out = trained / "out"
    names = {p.name for p in out.iterdir()}
    assert {"model.pt", "base_cnn.pt", "best.pt", "tensorboard", "maps"} <= names
    assert {"base_checkpoint_epoch=1.pt", "train_checkpoint_epoch=2.pt"} <= names
    assert list((out / "maps").glob("epoch002_sub-*.png"))
    assert list((out / "maps").glob("epoch002_sub-*.nii.gz"))
    assert [p.name for p in trained.iterdir()] == ["out"]
    assert not same(weights(out), torch.load(bundle_root / "models" / "model.pt", weights_only=True))


def test_tensorboard_holds_scalars_and_maps(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "out" / "tensorboard"))
    events.Reload()
    assert {"val_auc", "val_loss"} <= set(events.Tags()["scalars"])
    assert any("train_loss" in tag for tag in events.Tags()["scalars"])
    assert any(tag.startswith("maps/sub-") for tag in events.Tags()["images"])


def test_same_seed_same_weights(trained, cohort, tmp_path):
    done = run("train", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **QUICK)
    assert done.returncode == 0, done.stderr
    assert same(weights(trained / "out"), weights(tmp_path / "out"))
    other = run("train", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "other", seed=1, **QUICK)
    assert other.returncode == 0, other.stderr
    assert not same(weights(trained / "out"), weights(tmp_path / "other"))


def test_resume_runs_only_what_is_left(trained, cohort, tmp_path):
    shutil.copytree(trained / "out", tmp_path / "out")
    done = run("train", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", resume=True, **{**QUICK, "epochs": 2})
    assert done.returncode == 0, done.stderr
    assert "resuming from" in done.stdout
    assert len(list((tmp_path / "out").glob("train_checkpoint_*"))) == 2


def test_resuming_with_other_settings_is_refused_by_name(trained, cohort, tmp_path):
    shutil.copytree(trained / "out", tmp_path / "out")
    before = (tmp_path / "out" / "model.pt").read_bytes()
    told = {"dataset_dir": cohort, "output_dir": tmp_path / "out", "resume": True, **QUICK}
    done = run("train", cwd=tmp_path, **told, seed=7, pooling="gap")
    assert done.returncode == 1
    assert "out: its training began with other settings (model, seed); give the same again, choose another" in done.stderr
    assert (tmp_path / "out" / "model.pt").read_bytes() == before


@pytest.mark.slow
def test_two_stage_leaves_the_backbone_as_it_was(cohort, tmp_path):
    done = run("train", "two_stage", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **QUICK)
    assert done.returncode == 0, done.stderr
    base = torch.load(tmp_path / "out" / "base_cnn.pt", weights_only=True)
    assert same(base, {k.removeprefix("backbone."): v for k, v in weights(tmp_path / "out").items() if k.startswith("backbone.")})


@pytest.mark.slow
def test_three_dimensions(cohort, tmp_path):
    done = run("train", "spatial_3d", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **QUICK, **SEEDS)
    assert done.returncode == 0, done.stderr
    seeds = torch.load(tmp_path / "out" / "seeds.pt", weights_only=True)
    assert [tuple(s.shape) for s in seeds] == [(1, *TINY["roi_size"])] * 4
    assert [float(s.max()) for s in seeds] == [0, 1, 0, 1]
    assert weights(tmp_path / "out")["backbone.stages.0.conv0.conv.weight"].ndim == 5
    for config in ("evaluate", "inference"):
        done = run(config, "spatial_3d", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / config, split="test",
                   checkpoint=tmp_path / "out" / "model.pt", **TINY)  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_lesions_are_drawn_anew_into_healthy_heads(tmp_path):
    simulate_cohort(tmp_path / "heads", 6, spacing=8.0, split=(4, 2, 0), workers=1, task="drawn_abnormalities")
    told = {"dataset_dir": tmp_path / "heads", "output_dir": tmp_path / "out", "seeds": 1.0, **QUICK}
    parser = bundle_parser(CONFIGS.parent, ["drawn_lesions"], "train", **QUICK)
    parser["dataset_dir"], parser["output_dir"] = str(tmp_path / "heads"), str(tmp_path / "here")
    dataset = parser.get_parsed_content("train::dataset")
    drawn = [slices for _ in range(8) for slices in (dataset[0], dataset[1])]
    assert {item["label"] for slices in drawn for item in slices} == {0, 1}
    assert all(len({item["label"] for item in slices}) == 1 for slices in drawn)
    for resume in (False, True):
        done = run("train", "drawn_lesions", cwd=tmp_path, resume=resume, **told)
        assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "out")
    assert (tmp_path / "out" / "seeds_cnn.pt").is_file()  # of what made the seeds of each batch
    assert not (tmp_path / "out" / "seeds.pt").is_file()
    other = run("train", "drawn_lesions", cwd=tmp_path, resume=True, **told, mirrored_axes=[1])
    assert other.returncode == 1
    assert "its training began with other settings (transforms); give the same again" in other.stderr


@pytest.mark.slow
def test_slices_with_those_beside_them_and_even_fields(cohort, tmp_path):
    told = {"dataset_dir": cohort, "neighbours": [-1, 1], "bias_correction": "n4"}
    done = run("train", cwd=tmp_path, output_dir=tmp_path / "out", **told, **QUICK, **SEEDS)
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "out")["backbone.stages.0.conv0.conv.weight"].shape[1] == 3
    read = {"cwd": tmp_path, "split": "test", "checkpoint": tmp_path / "out" / "model.pt", **TINY}
    for config in ("evaluate", "inference"):
        done = run(config, output_dir=tmp_path / config, **told, **read)
        assert done.returncode == 0, done.stderr
    assert "not known" not in (tmp_path / "inference" / "predictions.csv").read_text()  # what training images were like
    forgotten = run("inference", output_dir=tmp_path / "forgotten", dataset_dir=cohort, **read)
    assert forgotten.returncode == 1
    assert "neighbours was [-1, 1], is []" in forgotten.stderr
    assert 'bias_correction was "n4", is null' in forgotten.stderr


def test_people_are_read_with_even_fields_and_train_on_drawn_ones(tmp_path):
    def corrected(steps):
        return any(isinstance(step, CorrectBiasFieldd) and step.method == "n4" for step in steps.transforms)

    for workflow in ("train", "evaluate", "inference"):
        parser = bundle_parser(CONFIGS.parent, ["people"], workflow, dataset_dir=str(tmp_path), classes=["normal", "abnormal"])
        assert corrected(parser.get_parsed_content("preprocessing"))
    training = bundle_parser(CONFIGS.parent, ["drawn_lesions", "people"], "train", dataset_dir=str(tmp_path), classes=["a", "b"])
    assert not corrected(training.get_parsed_content("train::preprocessing"))
    assert corrected(training.get_parsed_content("validate::preprocessing"))


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one(cohort, trained, tmp_path):
    told = {"dataset_dir": cohort, "output_dir": tmp_path / "out", **QUICK, **SEEDS}
    done = run("train", "multi_gpu_train", cwd=tmp_path, processes=2, **told)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.pt").is_file()
    common = {"dataset_dir": cohort, "checkpoint": trained / "out" / "model.pt", **TINY}
    one = run("evaluate", cwd=tmp_path, output_dir=tmp_path / "one", **common)
    assert one.returncode == 0, one.stderr
    two = run("evaluate", "multi_gpu_evaluate", cwd=tmp_path, processes=2, output_dir=tmp_path / "two", **common)
    assert two.returncode == 0, two.stderr
    assert (tmp_path / "one" / "per_subject.csv").read_text() == (tmp_path / "two" / "per_subject.csv").read_text()


def test_bad_subjects_are_left_out_listed_and_told_in_the_exit_code(cohort, tmp_path):
    shutil.copytree(cohort, tmp_path / "cohort")
    manifest = json.loads((tmp_path / "cohort" / "manifest.json").read_text())
    manifest["training"][0]["label"] = "odd"
    (tmp_path / "cohort" / manifest["training"][1]["image"]).write_bytes(b"")
    extra = {**manifest["training"][2], "subject": "sub-9", "image": "images/sub-9.nii.gz"}
    shutil.copy(tmp_path / "cohort" / manifest["training"][3]["image"], tmp_path / "cohort" / extra["image"])
    manifest["training"].append(extra)
    (tmp_path / "cohort" / "manifest.json").write_text(json.dumps(manifest))
    done = run("train", cwd=tmp_path, dataset_dir=tmp_path / "cohort", output_dir=tmp_path / "out", **{**QUICK, "epochs": 1})
    assert done.returncode == 1
    failures = list(csv.DictReader((tmp_path / "out" / "failures.csv").open()))
    assert [f["subject"] for f in failures] == ["sub-0001", "sub-0002"]
    assert "label 'odd' is none of the classes" in failures[0]["error"]
    assert "is empty (0 bytes)" in failures[1]["error"]
    assert (tmp_path / "out" / "model.pt").is_file()


def test_a_manifest_that_cannot_be_used_is_told_in_one_line(tmp_path):
    done = run("train", cwd=tmp_path, dataset_dir=tmp_path, output_dir=tmp_path / "out", **QUICK)
    assert done.returncode != 0
    assert "manifest.json: no such manifest; give a JSON file, or a folder with a manifest.json." in done.stderr

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data import load_manifest
from hrcam_monai.phantoms.abnormalities import simulate_subject
from hrcam_monai.phantoms.anatomy import load_anatomy
from hrcam_monai.phantoms.lesions import GRADES
from hrcam_monai.phantoms.simulate import simulate_cohort, turned
from hrcam_monai.phantoms.task import TASKS
from tests.conftest import save_head
from tests.data.shortcuts import histogram_features, shortcut_auc


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_splits_are_by_subject_and_half_abnormal(cohort):
    manifest = load_manifest(cohort, strict=True)
    for split in ("training", "validation", "test"):
        assert [e["label"] for e in manifest.items(split)] == [0, 1, 0, 1]
    entry = manifest.items("test", masks=True, slices=True)[1]
    mask = np.asarray(nib.load(entry["mask"]).dataobj)
    assert mask[:, :, entry["slices"][0][0]].any()
    assert not np.asarray(nib.load(manifest.items("test", masks=True)[0]["mask"]).dataobj).any()
    record = json.loads(Path(entry["image"].replace(".nii.gz", ".json")).read_text())
    assert {"grade", "sign", "cnr", "radius_mm", "volume_mm3", "centre_world_mm"} <= set(record["lesions"][0])
    assert 1 <= len(record["lesions"]) <= 4


def test_same_seed_same_bytes_and_an_interrupted_run_is_finished(tmp_path):
    arguments = {"subjects": 3, "seed": 9, "spacing": 5.0, "split": (0, 0, 1), "workers": 1}
    simulate_cohort(tmp_path / "a", **arguments)
    simulate_cohort(tmp_path / "b", **arguments)
    first = digest(tmp_path / "a")
    assert first == digest(tmp_path / "b")
    for name in ("images/sub-0002_T1w.json", "masks/sub-0002_lesions.nii.gz", "manifest.json"):
        (tmp_path / "b" / name).unlink()
    kept = (tmp_path / "b" / "images" / "sub-0001_T1w.nii.gz").stat().st_mtime_ns
    simulate_cohort(tmp_path / "b", **arguments)
    assert digest(tmp_path / "b") == first
    assert (tmp_path / "b" / "images" / "sub-0001_T1w.nii.gz").stat().st_mtime_ns == kept
    with pytest.raises(ValueError, match=r"this folder holds a cohort of other settings \(seed\); choose another --output"):
        simulate_cohort(tmp_path / "b", **{**arguments, "seed": 1})


def test_own_anatomy_keeps_its_orientation(tmp_path):
    tilt = np.array([[-0.95, 0.3, 0, 5], [0.3, 0.95, 0, -7], [0, 0, 1.5, 2], [0, 0, 0, 1.0]]) * 4
    tilt[3, 3] = 1
    save_head(tmp_path / "head.nii.gz", shape=(36, 44, 24), affine=tilt)
    simulate_cohort(tmp_path / "out", subjects=2, spacing=4.0, anatomy=[tmp_path / "head.nii.gz"], split=(0, 0, 1), workers=1)
    image = nib.load(tmp_path / "out" / "images" / "sub-0002_T1w.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")
    np.testing.assert_allclose(image.affine[:3, :3] / 4, tilt[:3, :3] / np.linalg.norm(tilt[:3, :3], axis=0), atol=1e-6)


def test_turned_head_is_the_same_head(tmp_path):
    subject = simulate_subject(load_anatomy(), np.random.default_rng(0), "plain", 5.0)
    other = turned(subject)
    assert nib.aff2axcodes(other.affine) == ("L", "P", "S")
    assert np.array_equal(np.sort(other.image, axis=None), np.sort(subject.image, axis=None))
    assert np.abs(other.affine[:3, 2]).min() < 4.9


@pytest.mark.slow
def test_no_shortcut_by_histogram():
    """A logistic regression on 32 bins, mean and standard deviation must not tell abnormal heads from normal, scaled or not."""
    anatomy, grades = load_anatomy(), [[None, list(GRADES)[(i // 2) % 3]][i % 2] for i in range(120)]
    images = [simulate_subject(anatomy, np.random.default_rng([11, i]), grade, 4.0).image for i, grade in enumerate(grades)]
    for scaled in (False, True):
        features = [histogram_features(image, scaled) for image in images]
        assert shortcut_auc(features, [int(grade is not None) for grade in grades]) <= 0.70, scaled


def test_the_default_task_keeps_its_bytes(tmp_path):
    """The shipped weights were trained on this cohort: what it draws, rounded to what a scanner would store, must not change."""
    simulate_cohort(tmp_path, subjects=2, seed=3, spacing=6.0, split=(0, 0, 1), workers=1)
    assert "task" not in json.loads((tmp_path / "simulation.json").read_text())
    image = np.asarray(nib.load(tmp_path / "images" / "sub-0002_T1w.nii.gz").dataobj, dtype=np.int64)
    assert (image.shape, int(image.sum()), int((image > 0).sum())) == ((28, 34, 30), 5550072, 8987)


@pytest.mark.parametrize("task", ["ependymoma_gbm", "parkinson_nm"])
def test_a_phantom_is_called_a_phantom(tmp_path, task):
    spacing = {"ependymoma_gbm": 5.0, "parkinson_nm": 2.0}[task]
    simulate_cohort(tmp_path, subjects=4, spacing=spacing, split=(0, 0, 1), oblique=1, workers=1, task=task)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["name"].startswith("phantom: ")
    assert "No number from it is clinical" in content["description"]
    assert json.loads((tmp_path / "simulation.json").read_text())["task"] == task
    items = load_manifest(tmp_path, strict=True).items("test", masks=True, slices=True)
    assert [e["label"] for e in items] == [0, 1, 0, 1]
    for entry in items:
        images = [nib.load(entry[k]) for k in ("image", "mask", "regions") if k in entry]
        assert len({i.shape for i in images}) == 1
        assert all(np.array_equal(i.affine, images[0].affine) for i in images)
    assert ("regions" in items[0]) == ("age" in items[0]) == (task == "parkinson_nm")
    with pytest.raises(ValueError, match="is drawn in the space of the ICBM152 template; leave --anatomy out"):
        simulate_cohort(tmp_path / "own", anatomy=["head.nii.gz"], task=task)
    before = digest(tmp_path)
    (tmp_path / "images" / f"sub-0001_{'T1ce' if task == 'ependymoma_gbm' else 'NM'}.json").unlink()
    simulate_cohort(tmp_path, subjects=4, spacing=spacing, split=(0, 0, 1), oblique=1, workers=1, task=task)
    assert digest(tmp_path) == before


def test_an_unknown_task_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"task is 'stroke'; choose one of {', '.join(TASKS)}."):
        simulate_cohort(tmp_path, task="stroke")


def test_people_are_split_and_a_folder_of_them_is_taken(tmp_path):
    (tmp_path / "people").mkdir()
    for i in range(5):
        save_head(tmp_path / "people" / f"p{i}.nii.gz", shape=(36, 44, 24), affine=np.diag([4.0, 4.0, 4.0, 1.0]))
    path = simulate_cohort(tmp_path / "out", 12, spacing=6.0, anatomy=[tmp_path / "people"], split=(3, 1, 1), workers=1)
    content = json.loads(path.read_text())
    people = {
        split: {json.loads((path.parent / e["image"].replace(".nii.gz", ".json")).read_text())["anatomy"] for e in content[split]}
        for split in ("training", "validation", "test")
    }
    assert [len(p) for p in people.values()] == [3, 1, 1]
    assert len(set.union(*people.values())) == 5
    assert [e["label"] for e in content["training"]] == ["normal", "abnormal"] * 3 + ["normal"]
    with pytest.raises(ValueError, match="2 anatomies are too few for splits of"):
        simulate_cohort(tmp_path / "few", 12, anatomy=[tmp_path / "people" / f"p{i}.nii.gz" for i in range(2)])
    with pytest.raises(ValueError, match=r"out: holds no .nii or .nii.gz file; give skull-stripped T1 files"):
        simulate_cohort(tmp_path / "none", 12, anatomy=[tmp_path / "out"])


def test_heads_to_draw_into_are_healthy_in_training_alone_and_the_same_heads(tmp_path):
    arguments = {"subjects": 8, "seed": 4, "spacing": 5.0, "split": (1, 1, 0), "workers": 1}
    drawn = load_manifest(simulate_cohort(tmp_path / "drawn", task="drawn_abnormalities", **arguments))
    plain = load_manifest(simulate_cohort(tmp_path / "plain", **arguments))
    assert [e["label"] for e in drawn.items("training")] == [0] * 4
    assert [e["label"] for e in drawn.items("validation")] == [0, 1, 0, 1]
    for split, index in (("training", 0), ("training", 2), ("validation", 1)):
        files = [m.items(split)[index]["image"] for m in (drawn, plain)]
        assert np.array_equal(*[np.asarray(nib.load(f).dataobj) for f in files])

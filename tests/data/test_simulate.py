from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hrcam_monai.data import load_manifest, simulate_cohort, simulate_subject
from hrcam_monai.data.anatomy import load_anatomy
from hrcam_monai.data.lesions import GRADES
from hrcam_monai.data.simulate import turned, visible_slices
from tests.conftest import save_head


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
    with pytest.raises(ValueError, match="this folder holds a cohort of other settings; choose another --output"):
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


def test_visible_slices_follow_the_axis_that_is_axial():
    mask = np.zeros((10, 6, 6), np.uint8)
    mask[3:5, 2:5, 2:5] = 1
    mask[7, 2:5, 2:5] = 1
    sagittal_first = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
    assert visible_slices(mask, sagittal_first) == [[3, 4], [7, 7]]
    assert visible_slices(np.moveaxis(mask, 0, 2), np.eye(4)) == [[3, 4], [7, 7]]


@pytest.mark.slow
@pytest.mark.parametrize("scaled", [False, True])
def test_no_shortcut_by_histogram(scaled):
    """A logistic regression on 32 bins, mean and standard deviation must not tell abnormal heads from normal ones."""
    anatomy = load_anatomy()
    features, labels = [], []
    for i in range(120):
        grade = [None, list(GRADES)[(i // 2) % 3]][i % 2]
        image = simulate_subject(anatomy, np.random.default_rng([11, i]), grade, 4.0).image.astype(float)
        voxels = image[image > 0] / (np.percentile(image[image > 0], 95) if scaled else 1)
        share = np.histogram(voxels, 32)[0] / voxels.size
        features.append([*share, voxels.mean(), voxels.std()])
        labels.append(i % 2)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    scores = cross_val_predict(model, np.array(features), labels, cv=5, method="decision_function")
    assert roc_auc_score(labels, scores) <= 0.70

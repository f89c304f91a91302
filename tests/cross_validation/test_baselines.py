from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hrcam_monai.cross_validation.baseline_run import run_baselines
from hrcam_monai.cross_validation.baselines import BASELINES, baseline, contrast_ratio, intensity_and_size, out_of_fold
from hrcam_monai.data.failures import Failures
from hrcam_monai.data.reading import ScanError
from hrcam_monai.metrics import roc_auc

CLASSES = ["normal", "abnormal"]


def head(seed, bright=0, shape=(16, 16, 16)):
    """A cube of noise in air, some of its voxels bright."""
    values = np.zeros(shape, np.float32)
    inside = np.random.default_rng(seed).normal(0, 1, (12, 12, 12)).astype(np.float32)
    inside.ravel()[:bright] += 8
    values[2:14, 2:14, 2:14] = inside
    return MetaTensor(torch.from_numpy(values)[None], affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])))


@pytest.fixture
def study():
    """Twenty subjects, ten of them with a bright spot; the entries, labels and folds."""
    entries = [{"subject": f"s{i:02d}", "image": f"s{i:02d}.nii", "label": i % 2} for i in range(20)]
    return entries, {e["subject"]: e["label"] for e in entries}, {e["subject"]: i // 4 for i, e in enumerate(entries)}


def read(entry):
    number = int(entry["subject"][1:])
    return entry | {"image": head(number, 60 * entry["label"])}


def test_volumes_are_in_ml_and_outliers_are_counted():
    found = intensity_and_size({"image": head(0, bright=100)})
    assert found["ml_head"] == pytest.approx(12**3 * 8 / 1000)
    assert 0.7 < found["ml_above_4"] < 0.9
    assert found["skewness"] > intensity_and_size({"image": head(0)})["skewness"]


def test_learns_a_difference_of_intensity(study, tmp_path):
    rows, left_out = run_baselines(study[0], read, *study[1:], CLASSES, Failures(tmp_path))
    own = rows["intensity and size"]
    labels = np.array([CLASSES.index(r["label"]) for r in own])
    assert roc_auc(labels, np.array([[r[f"probability_{c}"] for c in CLASSES] for r in own])) == 1.0
    assert [r["fold"] for r in own] == [study[2][r["subject"]] for r in own]
    assert left_out == {}


def test_a_fold_is_predicted_by_the_others_alone():
    features, folds = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) // 10
    labels = np.arange(20) % 2
    before = out_of_fold(features, labels, folds, 2)
    turned = np.where(folds == 0, 1 - labels, labels)
    after = out_of_fold(features, turned, folds, 2)
    assert np.array_equal(before[folds == 0], after[folds == 0])
    assert not np.array_equal(before[folds == 1], after[folds == 1])
    assert np.allclose(before.sum(1), 1)


def test_a_bad_image_costs_only_itself(study, tmp_path):
    def broken(entry):
        if entry["subject"] == "s03":
            raise ValueError("s03.nii: is empty")
        return read(entry)

    failures = Failures(tmp_path)
    rows, _ = run_baselines(study[0], broken, *study[1:], CLASSES, failures)
    assert len(rows["intensity and size"]) == 19
    assert [f.subject for f in failures.found] == ["s03"]


def test_a_baseline_of_ones_own_and_one_that_fails(study, tmp_path):
    @baseline("mean", notes="mean")
    def mean(item):
        return {"mean": float(item["image"].mean())}

    @baseline("broken")
    def broken(item):
        return {"nothing": float("nan")}

    try:
        rows, left_out = run_baselines(study[0], read, *study[1:], CLASSES, Failures(tmp_path))
    finally:
        del BASELINES["mean"], BASELINES["broken"]
    assert set(rows) == {"intensity and size", "mean"}
    assert "subjects have features that are no numbers (first: " in left_out["broken"]


def test_contrast_ratio_of_each_side(tmp_path):
    values, labels = np.full((6, 6, 6), 100, np.float32), np.zeros((6, 6, 6), np.uint8)
    for label, value in ((1, 80), (2, 120), (3, 100)):
        labels[label], values[label] = label, value
    affine = np.diag([0.5, 0.5, 2, 1])
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "scan.nii")
    item = {"file": tmp_path / "scan.nii", "regions": tmp_path / "regions.nii"}
    flipped = affine @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for drawn, grid in ((labels, affine), (labels[::-1], flipped)):  # on the scan's grid and on another
        nib.save(nib.Nifti1Image(drawn, grid), tmp_path / "regions.nii")
        assert contrast_ratio(item) == pytest.approx({"contrast_left": 0.5, "contrast_right": 0.25})
    nib.save(nib.Nifti1Image(labels * (labels < 3), affine), tmp_path / "regions.nii")
    with pytest.raises(ScanError, match="has no voxel of label 3 within .*scan.nii; draw 1 to 3"):
        contrast_ratio(item)


def test_regions_of_some_only_are_told(study, tmp_path):
    entries = [e | ({"regions": "r.nii"} if i else {}) for i, e in enumerate(study[0])]
    _, left_out = run_baselines(entries, read, *study[1:], CLASSES, Failures(tmp_path))
    assert left_out == {"contrast ratio": "1 images have no regions in the manifest (first: s00); give it to all."}

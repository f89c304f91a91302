from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.phantoms.anatomy import load_anatomy, warp
from hrcam_monai.phantoms.lesions import lesion_profile
from hrcam_monai.report.dicom import write_dicom
from tests.bundle.runs import CONFIGS, run
from tests.conftest import save_head
from tests.data.dicom import write_series


def infer(source, folder, **more):
    return run("inference", cwd=folder, dataset_dir=source, output_dir=folder / "out", **more)


def rows(path):
    return list(csv.DictReader(path.open()))


@pytest.fixture(scope="module")
def done(cohort, tmp_path_factory):
    """The shipped weights on a test split, from a folder of its own."""
    folder = tmp_path_factory.mktemp("inference")
    result = infer(cohort, folder, split="test")
    assert result.returncode == 0, result.stderr
    return folder


def test_every_subject_has_its_row_map_label_and_overlay(done, cohort):
    table = rows(done / "out" / "predictions.csv")
    names = [r["subject"] for r in table]
    assert names == [f"sub-{i:04d}" for i in range(9, 13)]
    assert list(table[0]) == [
        "subject",
        "file",
        "predicted",
        "probability_normal",
        "probability_abnormal",
        "logit_normal",
        "logit_abnormal",
        "map_class",
        "input_check",
        "head",
        "unusual",
    ]
    for row in table:
        assert float(row["probability_normal"]) + float(row["probability_abnormal"]) == pytest.approx(1, abs=1e-5)
        image = nib.load(row["file"])
        heat = nib.load(done / "out" / "maps" / f"{row['subject']}_map.nii.gz")
        label = nib.load(done / "out" / "maps" / f"{row['subject']}_label.nii.gz")
        assert heat.shape == label.shape == image.shape
        np.testing.assert_allclose(heat.affine, image.affine, atol=1e-4)
        assert heat.get_data_dtype() == np.float32
        every = nib.load(done / "out" / "maps" / f"{row['subject']}_classes.nii.gz")
        assert every.shape == (88, 104, 80, 2)  # on the network's own grid
        assert (done / "out" / "viewer" / f"{row['subject']}.js").is_file()
        assert set(np.unique(np.asarray(label.dataobj))) <= {0, 1}
        assert (done / "out" / "overlays" / f"{row['subject']}.png").is_file()
    assert "not a diagnosis" in (done / "out" / "report.html").read_text()
    assert not (done / "out" / "failures.csv").exists()
    assert [p.name for p in done.iterdir()] == ["out"]


def oblique_head(path: Path) -> np.ndarray:
    """A 0.9 x 0.9 x 3 mm, oblique, LPS head with one dark lesion; returns the voxel of its centre."""
    image, affine = warp(load_anatomy(), np.random.default_rng(4), 1.5)
    world = np.array([30.0, -35.0, 30.0])  # deep white matter, right, behind
    centre = np.linalg.inv(affine)[:3, :3] @ (world - affine[:3, 3])
    soft, _ = lesion_profile(np.random.default_rng(1), image.shape, centre, 12 / 1.5)
    image = np.clip(image - 0.4 * soft * (image > 0), 0, None)
    noisy = (image + np.random.default_rng(0).normal(0, 0.02, image.shape)) * (image > 0)
    turn = nib.eulerangles.euler2mat(0.1, 0.15, 0.2) @ np.diag([-0.9, -0.9, 3.0])
    shape = (240, 270, 70)
    target = nib.affines.from_matvec(turn, [0.0, -18, 9] - turn @ (np.array(shape) / 2))
    from nibabel.processing import resample_from_to

    out = resample_from_to(nib.Nifti1Image(noisy.astype(np.float32), affine), (shape, target), order=1)
    nib.save(out, path)
    return np.linalg.inv(target)[:3] @ [*world, 1]


def test_an_oblique_lps_scan_gets_its_map_back_and_the_lesion_is_found(tmp_path):
    voxel = oblique_head(tmp_path / "scan.nii.gz")
    result = infer(tmp_path / "scan.nii.gz", tmp_path, device="cpu", map_class="abnormal")
    assert result.returncode == 0, result.stderr
    image, heat = nib.load(tmp_path / "scan.nii.gz"), nib.load(tmp_path / "out" / "maps" / "scan_map.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert heat.shape == image.shape == (240, 270, 70)
    np.testing.assert_allclose(heat.affine, image.affine, atol=1e-4)
    assert rows(tmp_path / "out" / "predictions.csv")[0]["predicted"] == "abnormal"
    peak = np.unravel_index(np.asarray(heat.dataobj).argmax(), heat.shape)
    distance = np.linalg.norm((np.array(peak) - voxel) * [0.9, 0.9, 3.0])
    assert distance <= 12, f"peak at {peak}, lesion at {voxel}: {distance:.1f} mm apart"


def test_bad_scans_cost_only_themselves(tmp_path, cohort):
    source = tmp_path / "in"
    source.mkdir()
    good = json.loads((cohort / "manifest.json").read_text())["test"][0]["image"]
    shutil.copy(cohort / good, source / "good.nii.gz")
    (source / "empty.nii.gz").touch()
    (source / "cut.nii.gz").write_bytes((source / "good.nii.gz").read_bytes()[:5000])
    save_head(source / "base.nii.gz")
    values = np.asarray(nib.load(source / "base.nii.gz").dataobj)
    (source / "base.nii.gz").unlink()
    nan = values.copy()
    nan[3, 3, 3] = np.nan
    bad = {"nan": nan, "flat": np.full_like(values, 3), "four": np.stack([values] * 3, -1)}
    for name, array in bad.items():
        nib.save(nib.Nifti1Image(array, np.eye(4)), source / f"{name}.nii.gz")
    write_series(source / "two_series", prefix="a")
    write_series(source / "two_series", prefix="b")
    write_series(source / "gap", skip=(2,))
    result = infer(source, tmp_path)
    assert result.returncode == 1
    assert [r["subject"] for r in rows(tmp_path / "out" / "predictions.csv")] == ["good"]
    errors = {r["subject"]: r["error"] for r in rows(tmp_path / "out" / "failures.csv")}
    expected = {
        "empty": "is empty (0 bytes)",
        "cut": "cannot be read as an image",
        "nan": "NaN or infinite",
        "flat": "every voxel is 3",
        "four": "has 3 channels or volumes",
        "two_series": "holds 2 DICOM series",
        "gap": "1 slice(s) missing",
    }
    assert set(errors) == set(expected)
    for name, text in expected.items():
        assert text in errors[name]
        assert str(source / name) in errors[name]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not processed" in page
    assert "good" in page


def test_dicom_in_no_patient_name_out(tmp_path):
    write_series(tmp_path / "series", slices=8)
    result = infer(tmp_path / "series", tmp_path)
    assert result.returncode == 0, result.stderr
    assert (write_dicom(tmp_path / "out") / "series_map.dcm").is_file()
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert b"Quzzlewick" not in path.read_bytes()
    assert nib.load(tmp_path / "out" / "maps" / "series_map.nii.gz").shape == (20, 24, 8)


@pytest.mark.skipif(os.name != "posix", reason="needs a folder that cannot be made")
def test_no_write_permission_is_told_before_anything_runs(tmp_path, head):
    result = run("inference", cwd=tmp_path, dataset_dir=head, output_dir="/proc/no_such_folder")
    assert result.returncode != 0
    assert "cannot be written to" in result.stderr
    assert "choose another --output_dir" in result.stderr


def test_nothing_to_read(tmp_path):
    result = infer(tmp_path / "gone", tmp_path)
    assert result.returncode != 0
    assert "no such file or folder; give an image, a folder of images or a manifest" in result.stderr


def test_configs_hold_no_absolute_path():
    for config in CONFIGS.glob("*.json"):
        assert '"/' not in config.read_text().replace("+ '/", "")

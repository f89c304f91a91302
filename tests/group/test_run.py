"""Group maps as a user makes them, from a folder with predictions and maps."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from hrcam_monai.__main__ import app
from hrcam_monai.data.failures import Failures
from hrcam_monai.data.manifest import LEFT, RIGHT, load_manifest
from hrcam_monai.group.run import group_maps
from hrcam_monai.group.space import template
from hrcam_monai.group.subjects import find_subjects, load_maps
from hrcam_monai.utils.csv_files import read_csv, write_csv

SPACING = 4
CENTRE = (-32.0, 10.0, 22.0)  # of the patients' evidence: on the left


def volumes(seed, patient, affine):
    """A scan of the template's brain in a grid of its own, and a map with noise and, for a patient, evidence."""
    shape = (52, 58, 48)
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    near = np.exp(-((world - np.array(CENTRE)) ** 2).sum(-1) / (2 * 8.0**2))
    heat = np.random.default_rng(seed).normal(-0.5, 0.3, shape) + 4 * patient * near
    grid, brain = template(SPACING)
    index = np.round((world - grid.affine[:3, 3]) / SPACING).astype(int)
    held = np.clip(index, 0, np.array(brain.shape) - 1)
    scan = brain[held[..., 0], held[..., 1], held[..., 2]] & (index == held).all(-1)
    return nib.Nifti1Image(scan.astype(np.float32) * 100, affine), nib.Nifti1Image(heat.astype(np.float32), affine)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Twelve people, every third scan with its x axis to the left, and their manifest."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "maps").mkdir()
    rows, entries = [], []
    for i in range(12):
        affine = np.diag([4.0 if i % 3 else -4.0, 4.0, 4.0, 1.0])
        affine[:3, 3] = [-102.0 if i % 3 else 102.0, -128.0, -72.0]
        scan, heat = volumes(i, i % 2, affine)
        nib.save(scan, folder / f"s{i}.nii.gz")
        nib.save(heat, folder / "maps" / f"s{i}_map.nii.gz")
        rows.append(
            {"subject": f"s{i}", "file": str(folder / f"s{i}.nii.gz"), "map_class": "ill", "label": ("well", "ill")[i % 2]}
        )
        entries.append({"image": f"s{i}.nii.gz", "label": rows[-1]["label"], "subject": f"s{i}", "age": 50 + i})
    write_csv(folder / "predictions.csv", rows)
    (folder / "manifest.json").write_text(json.dumps({"classes": ["well", "ill"], "training": entries}))
    return folder


def test_the_difference_is_where_it_was_put(study, tmp_path):
    found = group_maps(study, tmp_path, study, SPACING, covariates=["age"], permutations=99)
    assert found["map_class"] == "ill"
    assert {name: g["subjects"] for name, g in found["groups"].items()} == {"well": 6, "ill": 6}
    peak = found["maps"]["t"]["peaks"][0]
    assert np.abs(np.array([peak[a] for a in "xyz"]) - CENTRE).max() <= SPACING
    assert peak["p"] <= 0.02
    assert found["groups"]["ill"]["left"] == 6
    assert found["groups"]["ill"]["laterality"] > 0.2
    for name in ("difference", "t", "corrected_p", "mean_ill", "mean_well", "mean_scan"):
        image = nib.load(tmp_path / f"{name}.nii.gz")
        assert image.shape == template(SPACING)[0].shape
        assert np.array_equal(image.affine, template(SPACING)[0].affine)
    top = nib.load(tmp_path / "corrected_p.nii.gz").get_fdata().max()
    assert top == pytest.approx(0.99)
    assert json.loads((tmp_path / "group.json").read_text())["maps"] == found["maps"]
    text = (tmp_path / "group.md").read_text()
    assert "| ill | 6 |" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.split("(")[1][:-1]).stat().st_size > 5000
    assert [r["group"] for r in read_csv(tmp_path / "subjects.csv")] == ["well", "ill"] * 6
    assert {r["map"] for r in read_csv(tmp_path / "peaks.csv")} >= {"t", "mean_ill"}


def test_without_labels_the_mean_alone(study, tmp_path):
    done = CliRunner().invoke(
        app, ["group", str(copy(study, tmp_path, label="")), "--output", str(tmp_path / "g"), "--spacing=4"]
    )
    assert done.exit_code == 0, done.output
    assert "No comparison" in done.output
    assert not (tmp_path / "g" / "t.nii.gz").exists()


def copy(study, folder, **changes):
    """The study's folder anew, with other values in predictions.csv."""
    (folder / "in").mkdir()
    (folder / "in" / "maps").symlink_to(study / "maps")
    write_csv(folder / "in" / "predictions.csv", [row | changes for row in read_csv(study / "predictions.csv")])
    return folder / "in"


def test_sides_are_those_of_the_nigra_where_regions_are_given(study, tmp_path):
    content = json.loads((study / "manifest.json").read_text())
    for entry in content["training"]:
        scan = nib.load(study / entry["image"])
        regions = np.zeros(scan.shape, np.uint8)
        x = scan.affine[0, 0] * np.arange(scan.shape[0]) + scan.affine[0, 3]
        regions[x > 0], regions[x < 0] = LEFT, RIGHT  # the wrong way round: labels count, not the halves of the head
        nib.save(nib.Nifti1Image(regions, scan.affine), study / f"regions_{entry['image']}")
        entry["regions"] = f"regions_{entry['image']}"
    (study / "with_regions.json").write_text(json.dumps(content))
    _, subjects = find_subjects(study, load_manifest(study / "with_regions.json"))
    sides = load_maps(subjects, SPACING, 0.0, False, Failures(tmp_path)).sides
    assert max(sides[1::2]) < -0.15
    assert np.abs(sides[::2]).max() < 0.1


def test_a_scan_elsewhere_costs_only_itself(study, tmp_path):
    folder = copy(study, tmp_path)
    rows = read_csv(folder / "predictions.csv")
    moved = nib.load(rows[0]["file"])
    affine = moved.affine.copy()
    affine[1, 3] += 90
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), tmp_path / "moved.nii.gz")
    rows[0]["file"] = str(tmp_path / "moved.nii.gz")
    write_csv(folder / "predictions.csv", rows)
    with pytest.raises(SystemExit) as end:
        group_maps(folder, tmp_path / "out", spacing=SPACING, permutations=99)
    assert end.value.code == 1
    (failure,) = read_csv(tmp_path / "out" / "failures.csv")
    assert failure["subject"] == "s0"
    assert "of its tissue lies in the template's brain; register the scans" in failure["error"]
    groups = json.loads((tmp_path / "out" / "group.json").read_text())["groups"]  # labels of the predictions
    assert {name: g["subjects"] for name, g in groups.items()} == {"well": 5, "ill": 6}


def test_a_covariate_that_is_the_same_in_all_costs_only_the_comparison(study, tmp_path):
    content = json.loads((study / "manifest.json").read_text())
    for entry in content["training"]:
        entry["field"] = 3.0
    content["classes"] = ["well/fit", "ill"]
    for entry in content["training"]:
        entry["label"] = {"well": "well/fit"}.get(entry["label"], entry["label"])
    (study / "field.json").write_text(json.dumps(content))
    found = group_maps(study, tmp_path, study / "field.json", SPACING, covariates=["field"], permutations=99)
    assert any(note.startswith("No comparison: the covariates are the same in all subjects") for note in found["notes"])
    assert found["groups"]["well/fit"]["subjects"] == 6
    assert (tmp_path / "mean_well_fit.nii.gz").is_file()
    assert not (tmp_path / "t.nii.gz").exists()


def test_sides_are_of_one_kind_and_a_missing_scan_costs_only_itself(study, tmp_path):
    content = json.loads((study / "manifest.json").read_text())
    content["training"][1]["regions"] = content["training"][1]["image"]
    content["training"][0]["mask"] = "gone.nii.gz"
    (study / "some.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        group_maps(study, tmp_path, study / "some.json", SPACING, permutations=99)
    found = json.loads((tmp_path / "group.json").read_text())
    assert found["regions"] == "the halves of the brain"
    assert {name: g["subjects"] for name, g in found["groups"].items()} == {"well": 5, "ill": 6}
    assert found["groups"]["ill"]["sided"] == 6
    assert [f["subject"] for f in read_csv(tmp_path / "failures.csv")] == ["s0"]
    largest = nib.load(tmp_path / "mean_ill.nii.gz").get_fdata().max()
    assert found["groups"]["ill"]["largest"] == pytest.approx(largest, rel=1e-5)


def test_a_subject_without_a_covariate_is_left_out_and_listed(study, tmp_path):
    content = json.loads((study / "manifest.json").read_text())
    del content["training"][0]["age"]
    content["training"][1]["age"] = "fifty"
    (study / "gaps.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit) as end:
        group_maps(study, tmp_path, study / "gaps.json", SPACING, covariates=["age"], permutations=99)
    assert end.value.code == 1
    assert {f["subject"]: f["error"] for f in read_csv(tmp_path / "failures.csv")} == {
        "s0": "has no age to take out; give it in the table of labels and prepare again",
        "s1": "its age is 'fifty', no number; correct the table of labels and prepare again",
    }
    groups = json.loads((tmp_path / "group.json").read_text())["groups"]
    assert {name: g["subjects"] for name, g in groups.items()} == {"well": 5, "ill": 5}


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ([], {"map_class": ""}, "its maps do not say of which class they are; make them of one: inference with --map_class NAME"),
        (["--covariate", "age"], {}, "covariate 'age' is a number in no subject's entry; give --dataset-dir"),
        (["--dataset-dir", "nowhere"], {}, "nowhere: no such manifest; give a JSON file"),
    ],
)
def test_bad_input_is_told_in_one_line(study, tmp_path, options, changes, message):
    folder = copy(study, tmp_path, **changes)
    done = CliRunner().invoke(app, ["group", str(folder), "--output", str(tmp_path / "out"), "--spacing=4", *options])
    assert done.exit_code == 1
    assert message in done.output
    assert len([line for line in done.output.splitlines() if line.startswith("error: ")]) == 1


def test_maps_of_several_classes_are_refused(study, tmp_path):
    folder = copy(study, tmp_path)
    rows = read_csv(folder / "predictions.csv")
    rows[3]["map_class"] = "well"
    write_csv(folder / "predictions.csv", rows)
    with pytest.raises(ValueError, match=r"its maps are of several classes \(ill, well\)"):
        group_maps(folder, tmp_path / "out")


def test_an_empty_folder_is_told(tmp_path):
    write_csv(tmp_path / "predictions.csv", [{"subject": "a", "file": "a.nii", "map_class": "ill"}])
    with pytest.raises(ValueError, match="maps: holds no maps; run inference or cross-validate"):
        group_maps(tmp_path, tmp_path / "out")

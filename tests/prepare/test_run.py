from __future__ import annotations

import csv
import gzip
import hashlib
import json
import logging
import shutil
from dataclasses import fields
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hrcam_monai.data import ManifestError, load_manifest
from hrcam_monai.data.itk_images import itk_types
from hrcam_monai.prepare.inputs import Choice
from hrcam_monai.prepare.run import iterations_of, prepare_cohort
from hrcam_monai.prepare.steps import Steps
from hrcam_monai.prepare.study import Study
from tests.data.dicom import write_series

PLAIN = Steps(n4=False)
AFFINE = np.array([[-2.9, 0.3, 0, 30], [-0.3, -2.9, 0, 40], [0, 0, 4, -20], [0, 0, 0, 1]])


def brain(seed: int, shape=(20, 24, 6)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij"))
    return (np.random.default_rng(seed).integers(80, 120, shape) * ((grid**2).sum(0) < 1)).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def bids(tmp_path):
    """Six subjects, three of each group."""
    rows = ["participant_id\tage\tgroup"]
    for i in range(6):
        save(tmp_path / "bids" / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz", brain(i))
        rows.append(f"sub-{i}\t30\t{('patient', 'control')[i % 2]}")
    (tmp_path / "bids" / "participants.tsv").write_text("\n".join(rows))
    return tmp_path / "bids"


@pytest.fixture
def dicom(tmp_path):
    """Two subjects of skull-stripped slices, whose headers and file names hold a name."""
    for i, name in enumerate(("p1", "p2")):
        folder = tmp_path / "dicom" / name / "Quzzlewick_Jane"
        write_series(folder, prefix="QUZZLEWICK", values=brain(i).transpose(2, 1, 0), SeriesDescription="T1 of Quzzlewick")
        write_series(folder, 3, prefix="QUZZLEWICK_loc", SeriesDescription="localizer")
    (tmp_path / "labels.csv").write_text("subject,label\np1,tumour\np2,normal\n")
    return tmp_path / "dicom"


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def failures(folder: Path) -> dict[str, str]:
    return {row["subject"]: row["error"] for row in csv.DictReader((folder / "failures.csv").open())}


def run(source, output, steps=PLAIN, workers=1, unlabelled=False, **options):
    files = {f.name: options.pop(f.name) for f in fields(Choice) if f.name in options}
    study = None if unlabelled else Study(**{"split": (1, 1, 1), **options})
    return prepare_cohort(Choice(source, **files), output, steps, study, workers)


def test_bids_to_a_manifest(bids, tmp_path):
    lesions = np.zeros((20, 24, 6), np.uint8)
    lesions[8:11, 9:12, 3] = 2
    save(tmp_path / "lesions" / "sub-0_mask.nii.gz", lesions)
    save(tmp_path / "lesions" / "sub-01_mask.nii.gz", lesions)  # of another subject
    path = run(bids, tmp_path / "out", masks=str(tmp_path / "lesions"))
    manifest = load_manifest(path, strict=True)
    assert manifest.classes == ["control", "patient"]
    for split in ("training", "validation", "test"):
        assert sorted(e["label"] for e in manifest.items(split)) == [0, 1]
    entries = {e["subject"]: e for s in manifest.entries.values() for e in s}
    assert [s for s, e in sorted(entries.items()) if "mask" in e] == ["sub-0"]
    np.testing.assert_array_equal(nib.load(entries["sub-0"]["mask"]).get_fdata(), lesions)
    for i in range(6):
        image = nib.load(entries[f"sub-{i}"]["image"])
        np.testing.assert_array_equal(image.get_fdata(), brain(i))
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    record = json.loads((tmp_path / "out" / "images" / "sub-0.json").read_text())
    source = bids / "sub-0" / "anat" / "sub-0_T1w.nii.gz"
    assert record["source"] == {"file": "sub-0/anat/sub-0_T1w.nii.gz"}
    assert record["inputs"]["image"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert record["outputs"] == {k: digest(tmp_path / "out")[f"{k}s/sub-0.nii.gz"] for k in ("image", "mask")}
    assert record["steps"]["n4"] is False
    assert "itk" in record["versions"]


def test_dicom_keeps_its_geometry_and_no_name(dicom, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    run(dicom, tmp_path / "out", labels=tmp_path / "labels.csv", split=(1, 0, 0))
    manifest = load_manifest(tmp_path / "out", strict=True)
    assert [(e["subject"], e["label"]) for e in manifest.items("training")] == [("p1", 1), ("p2", 0)]
    image = nib.load(tmp_path / "out" / "images" / "p1.nii.gz")
    sin, cos = np.sin(np.deg2rad(10)), np.cos(np.deg2rad(10))
    for i, j, k in ((0, 0, 0), (19, 23, 0), (3, 5, 5)):
        lps = (
            np.array([-20.0, -24.0, 0.0])
            + 2 * i * np.array([1, 0, 0])
            + 2 * j * np.array([0, cos, sin])
            + 3 * k * np.array([0, -sin, cos])
        )
        np.testing.assert_allclose((image.affine @ [i, j, k, 1])[:3], lps * [-1, -1, 1], atol=1e-3)
    np.testing.assert_array_equal(image.get_fdata(), brain(0))
    record = json.loads((tmp_path / "out" / "images" / "p1.json").read_text())
    assert record["source"] == {"series": "T1 of ***", "slices": 6, "files": 6}

    # and when it fails
    (dicom / "p3").mkdir()
    write_series(dicom / "p3" / "Quzzlewick", skip=(2,), SeriesDescription="Quzzlewick T1")
    write_series(dicom / "p4", prefix="QUZZLEWICK", SeriesDescription="T1")
    (dicom / "p4" / "QUZZLEWICK000.dcm").write_bytes((dicom / "p4" / "QUZZLEWICK000.dcm").read_bytes()[:-99])
    (tmp_path / "labels.csv").write_text("subject,label\np1,tumour\np2,normal\np3,tumour\np4,normal\n")
    with pytest.raises(SystemExit):
        run(dicom, tmp_path / "out", labels=tmp_path / "labels.csv", split=(1, 0, 0))
    assert sorted(failures(tmp_path / "out")) == ["p3", "p4"]
    told = [caplog.text, *capfd.readouterr()]
    for file in sorted((tmp_path / "out").rglob("*")):
        told.append(file.name)
        if file.is_file():
            raw = file.read_bytes()
            told.append((gzip.decompress(raw) if file.name.endswith(".gz") else raw).decode("latin-1"))
    for secret in ("quzzlewick", "jane", "pid778899", "19510203", "20240506", "acc4711", "1.2.826"):
        assert not any(secret in text.lower() for text in told), secret


@pytest.mark.parametrize("steps", [PLAIN, pytest.param(Steps(iterations=(2,)), marks=pytest.mark.slow)])
def test_interrupted_and_resumed_is_the_same_as_uninterrupted(bids, tmp_path, steps):
    run(bids, tmp_path / "a", steps)
    first = digest(tmp_path / "a")
    run(bids, tmp_path / "b", steps, workers=2)
    assert digest(tmp_path / "b") == first
    images = tmp_path / "b" / "images"
    (images / "sub-1.json").unlink()  # the image was written, its sidecar was not
    (images / "sub-2.nii.gz").write_bytes(b"cut")
    (tmp_path / "b" / "manifest.json").unlink()
    kept = (images / "sub-0.nii.gz").stat().st_mtime_ns
    run(bids, tmp_path / "b", steps)
    assert digest(tmp_path / "b") == first
    assert (images / "sub-0.nii.gz").stat().st_mtime_ns == kept


def test_regions_slices_and_other_columns_reach_the_manifest(bids, tmp_path, monkeypatch):
    regions = np.zeros((20, 24, 6), np.uint8)
    regions[8:12, 9:12, 1], regions[6:9, 9:12, 2:4] = 1, 2
    for i in range(6):
        save(tmp_path / "drawn" / f"sub-{i}.nii.gz", regions)
    shift = np.array([4.0, -3.0, 2.0])
    moved = itk_types()[0].Euler3DTransform.D.New(Translation=(shift * [-1, -1, 1]).tolist())
    monkeypatch.setattr("hrcam_monai.prepare.steps.register_slab", lambda *_: moved)  # what counts is what is made of it
    steps = Steps(n4=False, roi=(1.0, -20.0, -15.0), min_similarity=0.0)
    path = run(bids, tmp_path / "out", steps, regions=str(tmp_path / "drawn"), slices_from="regions", covariates=["age"])
    entries = [e for s in load_manifest(path, strict=True).entries.values() for e in s]
    assert len(entries) == 6
    for entry in entries:
        assert (entry["age"], entry["slices"], entry["roi"]) == (30.0, [[2, 3]], [5.0, -23.0, -13.0])
        np.testing.assert_array_equal(nib.load(entry["regions"]).get_fdata(), regions)
        np.testing.assert_array_equal(nib.load(entry["image"]).get_fdata(), brain(int(entry["subject"][-1])))
    record = json.loads((tmp_path / "out" / "images" / "sub-1.json").read_text())
    np.testing.assert_allclose(record["template_to_scan"], [[1, 0, 0, 4], [0, 1, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])
    assert set(record["outputs"]) == {"image", "regions"}
    (tmp_path / "drawn" / "sub-2.nii.gz").unlink()
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out", steps, regions=str(tmp_path / "drawn"))
    expected = f"--regions: {tmp_path / 'drawn'} has no file of sub-2; make one, or leave the subject out."
    assert failures(tmp_path / "out") == {"sub-2": expected}
    assert not (tmp_path / "out" / "regions" / "sub-2.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices_from": "masks"}, "--slices-from 'masks': choose masks or regions, and say where they are with that option."),
        ({"masks": "no/such"}, "--masks no/such: no such folder; give one, or a pattern with {subject}."),
        ({"covariates": ["Slices"]}, "--covariate 'Slices': is a key of the manifest itself; rename that column of the table."),
        ({"steps": Steps(roi=(0, 0, 500))}, "--roi 0 0 500: lies outside the template; give MNI coordinates, mm."),
        ({"steps": Steps(roi=(0, float("nan"), 0))}, "--roi 0 nan 0: lies outside the template; give MNI coordinates, mm."),
    ],
)
def test_options_that_cannot_be_used_stop_before_any_work(bids, tmp_path, options, message):
    with pytest.raises(ManifestError) as error:
        run(bids, tmp_path / "out", **options)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "out").exists()


def test_regions_that_show_nothing_and_classes_without_masks_are_told(bids, tmp_path, caplog):
    for i in range(6):
        save(tmp_path / "drawn" / f"sub-{i}.nii.gz", np.full((20, 24, 6), 1 if i == 4 else 2, np.uint8))
    save(tmp_path / "masks" / "sub-0.nii.gz", np.ones((20, 24, 6), np.uint8))
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out", regions=str(tmp_path / "drawn"), slices_from="regions")
    message = "its regions hold no label of 2 or above to choose slices by; draw them, or leave --slices-from out"
    assert failures(tmp_path / "out") == {"sub-4": message}
    run(bids, tmp_path / "out", masks=str(tmp_path / "masks"), slices_from="masks")
    assert "3 subject(s) of class control have no mask: a 2-D network trains on all of their slices" in caplog.text
    assert "2 subject(s) of class patient have no mask" in caplog.text


def test_another_input_or_option_is_made_anew(bids, tmp_path):
    run(bids, tmp_path / "out")
    image = tmp_path / "out" / "images" / "sub-0.nii.gz"
    before = {f.name: f.stat().st_mtime_ns for f in image.parent.iterdir()}
    save(bids / "sub-0" / "anat" / "sub-0_T1w.nii.gz", brain(77))
    run(bids, tmp_path / "out")
    changed = [f.name for f in image.parent.iterdir() if f.stat().st_mtime_ns != before[f.name]]
    assert sorted(changed) == ["sub-0.json", "sub-0.nii.gz"]
    run(bids, tmp_path / "out", Steps(n4=False, spacing=2.0))
    assert json.loads((image.parent / "sub-3.json").read_text())["steps"]["spacing"] == 2.0


def test_one_bad_subject_does_not_stop_the_rest(bids, tmp_path):
    run(bids, tmp_path / "out")
    splits = {e["subject"]: e["split"] for s in load_manifest(tmp_path / "out").entries.values() for e in s}
    file = bids / "sub-0" / "anat" / "sub-0_T1w.nii.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:300])
    save(bids / "sub-1" / "anat" / "sub-1_acq-2_T1w.nii.gz", brain(9))
    save(bids / "sub-9" / "anat" / "sub-9_T1w.nii.gz", brain(10))  # not in participants.tsv
    with pytest.raises(SystemExit) as stop:
        run(bids, tmp_path / "out")
    assert stop.value.code == 1
    found = failures(tmp_path / "out")
    assert sorted(found) == ["sub-0", "sub-1", "sub-9"]
    assert found["sub-0"].startswith(f"{file}: cannot be read as an image (")
    assert found["sub-1"].startswith(f"{bids / 'sub-1'}: 2 images fit: sub-1_T1w.nii.gz, sub-1_acq-2_T1w.nii.gz; choose one")
    assert found["sub-9"] == "has no label in participants.tsv; add its line, or take the folder away"
    assert not (tmp_path / "out" / "images" / "sub-0.nii.gz").exists()  # of the earlier run
    left = {e["subject"]: e["split"] for s in load_manifest(tmp_path / "out").entries.values() for e in s}
    assert left == {s: splits[s] for s in ("sub-2", "sub-3", "sub-4", "sub-5")}
    file.write_bytes(whole)  # mended: no other subject moves
    (bids / "sub-1" / "anat" / "sub-1_acq-2_T1w.nii.gz").unlink()
    (bids / "sub-9" / "anat" / "sub-9_T1w.nii.gz").unlink()
    (bids / "sub-9" / "anat").rmdir()
    (bids / "sub-9").rmdir()
    run(bids, tmp_path / "out")
    assert {e["subject"]: e["split"] for s in load_manifest(tmp_path / "out").entries.values() for e in s} == splits
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_the_same_image_under_two_names(bids, tmp_path):
    save(bids / "sub-3" / "anat" / "sub-3_T1w.nii.gz", brain(0))
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out")
    assert failures(tmp_path / "out") == {
        "sub-0": "has the same image as sub-3; remove what is a copy",
        "sub-3": "has the same image as sub-0; remove what is a copy",
    }
    assert len([e for s in load_manifest(tmp_path / "out").entries.values() for e in s]) == 4
    assert not (tmp_path / "out" / "images" / "sub-0.nii.gz").exists()


def test_brain_masks(bids, tmp_path):
    for i in range(1, 6):
        save(tmp_path / "masks" / f"sub-{i}" / f"sub-{i}_desc-brain_mask.nii.gz", (brain(i) > 100).astype(np.uint8))
        save(tmp_path / "masks" / f"sub-{i}" / f"sub-{i}_T1w.nii.gz", brain(i))
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out", brain_masks=str(tmp_path / "masks"))
    expected = f"--brain-masks: {tmp_path / 'masks'} has no file of sub-0; make one, or leave the subject out."
    assert failures(tmp_path / "out") == {"sub-0": expected}
    image = nib.load(tmp_path / "out" / "images" / "sub-2.nii.gz").get_fdata()
    np.testing.assert_array_equal(image, np.where(brain(2) > 100, brain(2), 0))
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out", brain_masks=f"{tmp_path}/masks/{{subject}}/*")
    assert failures(tmp_path / "out")["sub-1"] == (
        "--brain-masks: 2 files fit sub-1: sub-1_T1w.nii.gz, sub-1_desc-brain_mask.nii.gz; give a pattern such as "
        "'DIR/{subject}*_mask.nii.gz'."
    )


def test_a_skull_and_a_mask_that_is_none(bids, tmp_path):
    save(bids / "sub-0" / "anat" / "sub-0_T1w.nii.gz", brain(0) + np.random.default_rng(0).random((20, 24, 6)).astype(np.float32))
    save(tmp_path / "lesions" / "sub-1.nii.gz", brain(1) / 7)
    with pytest.raises(SystemExit):
        run(bids, tmp_path / "out", masks=str(tmp_path / "lesions"))
    found = failures(tmp_path / "out")
    assert found["sub-0"].startswith(f"{bids / 'sub-0' / 'anat' / 'sub-0_T1w.nii.gz'}: seems to hold a skull, and is too thin")
    assert found["sub-1"].endswith(
        "sub-1.nii.gz: is no mask: its values are not whole numbers from 0 to 255; round or threshold it."
    )


def test_unlabelled_images_for_inference(dicom, tmp_path):
    assert run(dicom, tmp_path / "out", unlabelled=True) == tmp_path / "out" / "images"
    assert sorted(digest(tmp_path / "out")) == ["images/p1.json", "images/p1.nii.gz", "images/p2.json", "images/p2.nii.gz"]


def test_names_that_cannot_name_files(dicom, tmp_path):
    (dicom / "p1").rename(dicom / "p1;rm")
    with pytest.raises(SystemExit):
        run(dicom, tmp_path / "out", unlabelled=True)
    assert failures(tmp_path / "out") == {"p1;rm": "'p1;rm' cannot name a file; use letters, digits, '_', '-' and '.'"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "DICOM files carry no labels; give a table with the columns subject and label by --labels, or use --unlabelled"),
        ({"series": "T1("}, "--series 'T1(': is no regular expression ("),
        ({"steps": Steps(register="warp")}, "--register 'warp': choose one of none, rigid, affine."),
        ({"steps": Steps(strip_tool="scissors")}, "strip_tool is 'scissors'; choose one of deepbet, hd-bet."),
        ({"steps": Steps(iterations=())}, "--iterations: give one or more numbers above 0, a level of the field each."),
        ({"labels": "other"}, "labels none of the subjects p1, p2...; name them as the folders are named."),
        (
            {"labels": "labels"},
            "too few subjects (1 of 'normal', 1 of 'tumour') for --split 1 1 1 with each class in every split",
        ),
    ],
)
def test_wrong_options(dicom, tmp_path, options, message):
    (tmp_path / "other.csv").write_text("subject,label\nx,a\ny,b\n")
    if "labels" in options:
        options = {**options, "labels": tmp_path / f"{options['labels']}.csv"}
    with pytest.raises(ManifestError) as error:
        run(dicom, tmp_path / "out", **options)
    assert message in str(error.value)


def test_iterations_are_a_list():
    assert iterations_of("50, 30") == (50, 30)
    with pytest.raises(ManifestError, match="--iterations '50;x': give whole numbers with commas between, as 50,50,50,50"):
        iterations_of("50;x")


def test_wrong_folders(dicom, bids, tmp_path):
    for source, message in (
        (tmp_path / "gone", "no such folder; give a BIDS folder, or one with a sub-folder of DICOM a subject."),
        (dicom / "p1" / "Quzzlewick_Jane", "holds DICOM files itself; give the folder above it, with one sub-folder a subject."),
        (
            bids / "sub-0" / "anat",
            "or sub-*/anat (BIDS); for a folder of files give --table, which says what each is.",
        ),
    ):
        with pytest.raises(ManifestError) as error:
            run(source, tmp_path / "out")
        assert str(error.value).startswith(f"{source}: ")
        assert str(error.value).endswith(message)
    with pytest.raises(ManifestError, match="lies in the source; choose an --output outside"):
        run(bids, bids / "out")


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_brain_on_the_template(real_data, tmp_path):
    source = tmp_path / "bids" / "sub-1" / "anat" / "sub-1_T1w.nii.gz"
    source.parent.mkdir(parents=True)
    shutil.copy(real_data / "head_t1" / "ch2bet.nii.gz", source)
    run(tmp_path / "bids", tmp_path / "out", Steps(n4=False, register="rigid", spacing=4.0), unlabelled=True)
    record = json.loads((tmp_path / "out" / "images" / "sub-1.json").read_text())
    assert record["similarity"] > 0.09
    np.testing.assert_allclose(record["template_to_scan"], np.eye(4), atol=6)
    assert nib.load(tmp_path / "out" / "images" / "sub-1.nii.gz").shape == (50, 58, 48)


@pytest.fixture
def flat(tmp_path):
    """Twelve pictures of eight people, half of them ill, with masks of these; a camera's name in the files."""
    rows = ["file,patient,diagnosis,mask"]
    folder = tmp_path / "flat"
    (folder / "masks").mkdir(parents=True)
    for i in range(12):
        person, ill = i % 8, i % 2
        picture = Image.fromarray(np.random.default_rng(i).integers(0, 255, (30, 20), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x9286] = "Quzzlewick"  # a comment
        picture.save(folder / f"img{i}.jpg", exif=exif)
        if ill:
            Image.fromarray(np.eye(30, 20, dtype=np.uint8) * 255).save(folder / "masks" / f"m{i}.png")
        rows.append(f"img{i}.jpg,p{person},{('well', 'ill')[ill]},{f'masks/m{i}' if ill else ''}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return folder


def test_a_flat_folder_and_a_table_become_a_manifest_of_people(tmp_path, flat):
    choice = Choice(flat, table=tmp_path / "labels.csv")
    made = prepare_cohort(choice, tmp_path / "out", Steps(), Study(split=(2, 1, 1), reference="well"), workers=1)
    manifest = load_manifest(made)
    entries = manifest.all_items()
    assert manifest.classes == ["well", "ill"]
    assert len(entries) == 12
    assert {e["subject"] for e in entries} == {f"p{i}" for i in range(8)}
    assert all("mask" in e for split in manifest.entries.values() for e in split if e["label"] == 1)
    assert not any(b"Quzzlewick" in p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    ill = next(e for split in manifest.entries.values() for e in split if e["image"].endswith("img1.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(ill["mask"])) > 0, np.eye(30, 20) > 0)
    before = digest(tmp_path / "out")
    prepare_cohort(choice, tmp_path / "out", Steps(), Study(split=(2, 1, 1), reference="well"), workers=1)
    assert digest(tmp_path / "out") == before


def test_a_flat_folder_of_volumes_goes_through_the_steps(tmp_path):
    for i in range(6):
        save(tmp_path / "flat" / f"scan{i}.nii.gz", brain(i))
    lines = "\n".join(f"scan{i},{('ill', 'well')[i % 2]},{('training', 'validation', 'test')[i // 2]}" for i in range(6))
    (tmp_path / "labels.tsv").write_text("file,label,split\n" + lines)
    made = prepare_cohort(Choice(tmp_path / "flat", table=tmp_path / "labels.tsv"), tmp_path / "out", PLAIN, Study(), workers=1)
    manifest = load_manifest(made)
    assert {split: [e["subject"] for e in listed] for split, listed in manifest.entries.items()} == {
        "training": ["scan0", "scan1"],
        "validation": ["scan2", "scan3"],
        "test": ["scan4", "scan5"],
    }


def test_floating_point_pictures_stay_as_they_are_and_so_do_their_masks(tmp_path, flat):
    values = np.random.default_rng(0).random((30, 20), dtype=np.float32)
    Image.fromarray(values).save(flat / "img1.tif")
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace("img1.jpg", "img1.tif"))
    made = prepare_cohort(Choice(flat, table=table), tmp_path / "out", Steps(), Study(split=(2, 1, 1)), workers=1)
    entry = next(e for s in load_manifest(made).entries.values() for e in s if "img1." in e["image"])
    np.testing.assert_array_equal(np.asarray(Image.open(entry["image"])), values)
    mask = Image.open(entry["mask"])
    assert (mask.format, Path(entry["mask"]).suffix) == ("TIFF", ".tif")
    np.testing.assert_array_equal(np.asarray(mask) > 0, np.eye(30, 20) > 0)


def test_what_cannot_be_used_of_a_flat_folder_is_listed(tmp_path, flat):
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(flat / "masks" / "m1.png")
    (flat / "img2.jpg").write_bytes(b"torn")
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("\ngone.jpg,p9,ill,\nimg0.jpg,p0,,")
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace("img0.jpg,p0,well,\n", ""))
    with pytest.raises(SystemExit):
        prepare_cohort(Choice(flat, table=table), tmp_path / "out", Steps(), Study(split=(2, 1, 1)), workers=1)
    told = {r["subject"]: r["error"] for r in csv.DictReader((tmp_path / "out" / "failures.csv").open())}
    assert set(told) == {"p9", "img0", "img1", "img2"}
    assert "no file 'gone.jpg'" in told["p9"]
    assert told["img0"] == "img0.jpg has no label; complete its line"
    assert "has 9 x 9 pixels, its image 20 x 30; draw the mask on the image itself." in told["img1"]
    assert "cannot be read as an image" in told["img2"]


def test_a_person_in_two_folds_is_refused(tmp_path, flat):
    (tmp_path / "labels.csv").write_text("file,patient,label,split\nimg0,p0,ill,test\nimg1,p0,ill,training\nimg2,p1,well,test\n")
    with pytest.raises(ManifestError, match="'p0' is in several folds or in none; keep all files of a person in one"):
        prepare_cohort(Choice(flat, table=tmp_path / "labels.csv"), tmp_path / "out", Steps(), Study(), workers=1)

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from monai.data import load_decathlon_datalist

from hrcam_monai.data import ManifestError, load_manifest
from hrcam_monai.data.manifest import named_classes
from tests.data.dicom import write_series


def write(folder: Path, change=None) -> Path:
    for name in ("a", "b", "c"):
        (folder / f"{name}.nii").touch()
    content = {
        "classes": ["normal", "abnormal"],
        "training": [{"image": "a.nii", "label": "normal", "subject": "a"}],
        "validation": [{"image": "b.nii", "label": 1, "subject": "b", "mask": "c.nii", "slices": [[1, 2]]}],
        "test": [],
    }
    if change:
        change(content)
    path = folder / "manifest.json"
    path.write_text(json.dumps(content))
    return path


def test_labels_become_indices_and_paths_absolute(tmp_path):
    manifest = load_manifest(write(tmp_path))
    assert manifest.items("training") == [{"image": str(tmp_path / "a.nii"), "label": 0, "subject": "a", "split": "training"}]
    assert manifest.items("validation")[0]["label"] == 1
    assert "mask" not in manifest.items("validation")[0]
    assert manifest.items("validation", masks=True, slices=True)[0]["slices"] == [[1, 2]]
    assert len(manifest.all_items()) == 2
    assert load_manifest(tmp_path).items("training") == manifest.items("training")


def test_other_data_another_hash(tmp_path):
    first = load_manifest(write(tmp_path)).data_hash()
    assert load_manifest(f"{tmp_path}/../{tmp_path.name}").data_hash() == first
    (tmp_path / "c.nii").write_text("a mask, mended")
    changed = load_manifest(tmp_path).data_hash()
    assert changed != first
    (tmp_path / "a.nii").unlink()
    (tmp_path / "a.nii").mkdir()  # as a folder of DICOM
    (tmp_path / "a.nii" / "1.dcm").write_text("slice")
    assert load_manifest(tmp_path).data_hash() not in (first, changed)


def test_monai_reads_the_same_list(cohort):
    theirs = load_decathlon_datalist(cohort / "manifest.json", is_segmentation=False, data_list_key="test")
    mine = load_manifest(cohort).items("test")
    assert [Path(t["image"]) for t in theirs] == [Path(m["image"]) for m in mine]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("classes"), '"classes" must list at least two different class names'),
        (lambda c: c.update(classes=["normal", "Normal"]), "classes 'normal' and 'Normal' mean the same"),
        (lambda c: c.update(classes=["1", "1.0"]), "classes '1' and '1.0' mean the same"),
        (lambda c: c["training"][0].update(image="../a.nii"), r"training\[0\]: image '../a.nii' leaves the data folder"),
        (lambda c: c["training"][0].update(image="/etc/passwd"), "image '/etc/passwd' leaves the data folder"),
        (lambda c: c["training"][0].update(image="x/../../a.nii"), "leaves the data folder"),
        (lambda c: c.update(training=3), "training must be a list of entries"),
        (lambda c: c.update(training=[5]), r"training\[0\] must be an object .* not 5"),
        (lambda c: c["training"][0].update(image=None), r"training\[0\] has no image"),
        (lambda c: c["training"][0].update(subject=None), r"training\[0\] has no subject"),
        (lambda c: c["training"][0].update(subject="../a"), "subject '../a' cannot name a file; use letters, digits"),
        (lambda c: c["training"].append(c["training"][0]), "is listed 2 times; list it once"),
        (lambda c: c["test"].append({"image": "c.nii", "label": 0, "subject": "a"}), "subject 'a' is in test and training; keep"),
    ],
)
def test_faults_of_the_whole_raise(tmp_path, change, message):
    path = write(tmp_path, change)
    with pytest.raises(ManifestError, match=message) as error:
        load_manifest(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["training"][0].update(image="gone.nii"), "image file is missing: .*gone.nii; correct the path or restore"),
        (lambda c: c["training"][0].update(mask="gone.nii"), "mask file is missing"),
        (lambda c: c["training"][0].update(regions="gone.nii"), "regions file is missing"),
        (lambda c: c["training"][0].update(label="odd"), r"label 'odd' is none of the classes \['normal', 'abnormal'\]"),
        (lambda c: c["training"][0].pop("label"), r"has no label; write one of the classes \['normal', 'abnormal'\]"),
        (lambda c: c["training"][0].update(label=2), "label '2' is none of the classes"),
        (lambda c: c["training"][0].update(image="n" * 5000), "image file is missing"),
        (lambda c: c["training"][0].update(slices=[["a", 2]]), "slices must be ranges"),
        (lambda c: c["training"][0].update(slices=[3, 4]), r"slices must be ranges \[\[first, last\], ...\]"),
    ],
)
def test_faults_of_an_entry_leave_it_out(tmp_path, change, message):
    path = write(tmp_path, change)
    manifest = load_manifest(path)
    assert [f.subject for f in manifest.failures] == ["a"]
    assert re.search(message, manifest.failures[0].error)
    assert len(manifest.items("validation")) == 1
    with pytest.raises(ManifestError, match="split 'training' is empty \\(1 entries were left out\\)"):
        manifest.items("training")
    with pytest.raises(ManifestError, match=message):
        load_manifest(path, strict=True)


def test_a_dicom_file_of_an_entry_is_its_folder_and_names_nothing(tmp_path):
    write_series(tmp_path / "alone", 1, prefix="QUZZLEWICK_")
    write_series(tmp_path / "others", 3, prefix="QUZZLEWICK_")
    entries = [{"image": f"{s}/QUZZLEWICK_000.dcm", "subject": s, "label": "a"} for s in ("alone", "others")]
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": ["a", "b"], "test": entries}))
    found = load_manifest(tmp_path)
    assert [e["image"] for e in found.items("test")] == [str(tmp_path / "alone")]
    assert [f.subject for f in found.failures] == ["others"]
    assert found.failures[0].error.startswith(f"{tmp_path / 'others'}: holds 2 DICOM file(s) beside the one given; give the")
    assert "QUZZLEWICK" not in str(found)


def test_classes_by_name_of_a_manifest_or_the_usual_two(tmp_path):
    assert named_classes(tmp_path) == ["normal", "abnormal"]
    (tmp_path / "manifest.json").write_text('{"classes": [0, "x"]}')
    assert named_classes(tmp_path) == named_classes(tmp_path / "manifest.json") == ["0", "x"]
    for bad in ("{", "[]", '{"classes": 3}'):
        (tmp_path / "manifest.json").write_text(bad)
        assert named_classes(tmp_path, ["a", "b"]) == ["a", "b"]


def test_empty_split(tmp_path):
    with pytest.raises(ManifestError, match="split 'test' is empty; list at least one usable image there"):
        load_manifest(write(tmp_path)).items("test")


def test_numbers_as_class_names_of_a_configuration_are_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"""classes are \[0, 1\]; names are text: --classes "\['0', '1'\]"\.$"""):
        load_manifest(write(tmp_path), classes=[0, 1])


def test_classes_of_another_network(tmp_path):
    with pytest.raises(ManifestError, match=r"classes are \['normal', 'abnormal'\], the configuration's are \['a', 'b'\]"):
        load_manifest(write(tmp_path), classes=["a", "b"])


def test_not_there_or_not_json(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest; give a JSON file"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ManifestError, match="not a readable JSON file"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("task", ["ependymoma_gbm", "parkinson_nm"])
def test_templates_are_manifests_of_their_overlays(tmp_path, task, bundle_root):
    content = json.loads((bundle_root.parent / "data_manifests" / f"{task}.json").read_text())
    overlay = json.loads((bundle_root / "configs" / "tasks" / f"{task}.json").read_text())
    for entry in (e for split in ("training", "validation", "test") for e in content[split]):
        for key in {"image", "mask", "regions"} & set(entry):
            (tmp_path / entry[key]).parent.mkdir(exist_ok=True)
            (tmp_path / entry[key]).touch()
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    manifest = load_manifest(tmp_path, classes=overlay["classes"], strict=True)
    assert {e["label"] for e in manifest.items("training")} == {0, 1}
    if task == "parkinson_nm":
        assert manifest.items("test")[0]["regions"] == str(tmp_path / "regions" / "SUBJECT5_regions.nii.gz")


def test_training_asks_for_every_class(cohort, tmp_path):
    content = json.loads((cohort / "manifest.json").read_text())
    content["training"] = [e for e in content["training"] if e["label"] == "abnormal"]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    manifest = load_manifest(tmp_path / "manifest.json", root=cohort)
    assert len(manifest.items("training")) == 2
    with pytest.raises(ManifestError, match=r"split 'training' has no usable image of 'normal'; a classifier learns from"):
        manifest.items("training", every_class=True)


def test_a_manifest_that_lists_nothing_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"classes": ["a", "b"]}')
    with pytest.raises(ManifestError, match=r"manifest.json: lists no image; name some under training, validation, test"):
        load_manifest(tmp_path).all_items()

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from hrcam_monai.cli import app
from hrcam_monai.data import find_items, load_manifest
from hrcam_monai.data.links import FOLLOW, REFUSED, leaves
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.prepare.inputs import Choice, locate
from hrcam_monai.workflows.command_line import begin
from tests.conftest import save_head
from tests.data.dicom import write_series


@pytest.fixture
def study(tmp_path):
    """A folder with a scan, a link to it, and a link to a scan outside."""
    folder = tmp_path / "study"
    folder.mkdir()
    save_head(folder / "a.nii.gz")
    save_head(tmp_path / "outside.nii.gz")
    (folder / "b.nii.gz").symlink_to("a.nii.gz")
    (folder / "c.nii.gz").symlink_to("../outside.nii.gz")
    return folder


def test_a_link_inside_is_followed_one_that_leaves_is_not(study, monkeypatch):
    assert [leaves(study / f"{n}.nii.gz", study) for n in "abc"] == [False, False, True]
    (study.parent / "link").symlink_to("study")
    assert not leaves(study.parent / "link" / "a.nii.gz", study.parent / "link")
    monkeypatch.setenv(FOLLOW, "1")
    assert not leaves(study / "c.nii.gz", study)


def test_in_a_folder_it_costs_its_subject(study, monkeypatch):
    items, failures = find_items(study)
    assert [i["subject"] for i in items] == ["a", "b"]
    assert [(f.subject, f.error) for f in failures] == [("c", REFUSED)]
    monkeypatch.setenv(FOLLOW, "1")
    assert len(find_items(study)[0]) == 3


@pytest.mark.parametrize("key", ["image", "mask"])
def test_in_a_manifest_it_costs_its_entry(study, key, monkeypatch):
    entry = {"image": "a.nii.gz", "mask": "b.nii.gz", "subject": "x", "label": "p"} | {key: "c.nii.gz"}
    (study / "manifest.json").write_text(json.dumps({"classes": ["n", "p"], "test": [entry]}))
    assert [(f.subject, f.error) for f in load_manifest(study).failures] == [("x", f"{key} {REFUSED}")]
    monkeypatch.setenv(FOLLOW, "1")
    assert not load_manifest(study).failures


def test_a_series_with_a_slice_from_elsewhere_is_refused_and_no_slice_named(tmp_path):
    write_series(tmp_path / "elsewhere")
    folder = tmp_path / "study" / "s01"
    folder.mkdir(parents=True)
    for file in (tmp_path / "elsewhere").iterdir():
        (folder / f"DOE_{file.name}").symlink_to(file)
    items, failures = find_items(tmp_path / "study")
    assert (items, [f.file for f in failures]) == ([], [str(folder)])
    with pytest.raises(ScanError) as error:
        locate(Choice(tmp_path / "study"), "s01")
    assert str(error.value) == f"{folder}: {REFUSED}."


def test_a_table_cannot_name_one(study):
    table = study.parent / "labels.csv"
    table.write_text("file,label,mask\na.nii.gz,n,c.nii.gz\nc.nii.gz,p,\n")
    choice = Choice(study, table=table)
    for name in "ac":
        with pytest.raises(ScanError, match=r"c\.nii\.gz: is, or holds, a symbolic link that leaves the data folder"):
            locate(choice, name)


def test_options_allow_them(monkeypatch, bundle_root):
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setenv(FOLLOW, "")
    assert CliRunner().invoke(app, ["--follow-links", "verify", "none.zip"]).exit_code == 1
    assert os.environ.pop(FOLLOW)
    begin(["p", "run", "--config_file", str(bundle_root / "configs" / "train.json"), "--follow_links", "True"])
    assert os.environ.pop(FOLLOW)

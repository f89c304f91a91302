from __future__ import annotations

import csv

import pytest

from hrcam_monai.data import Failure, Failures
from hrcam_monai.data.failures import writable_folder


def test_listed_as_they_happen_and_told_at_the_end(tmp_path):
    failures = Failures(tmp_path / "out", known=[Failure("a", "a.nii", "is missing")])
    failures.add("b", "b.nii", ValueError("two\nlines"))
    rows = list(csv.DictReader((tmp_path / "out" / "failures.csv").open()))
    assert rows == [
        {"subject": "a", "file": "a.nii", "error": "is missing"},
        {"subject": "b", "file": "b.nii", "error": "two lines"},
    ]
    with pytest.raises(SystemExit) as stop:
        failures.finish()
    assert stop.value.code == 1


def test_no_failure_no_file(tmp_path):
    (tmp_path / "failures.csv").write_text("of an earlier run")
    Failures(tmp_path).finish()
    assert not (tmp_path / "failures.csv").exists()


def test_no_write_permission(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(PermissionError, match=r"cannot be written to \(Permission denied\); choose another --output_dir"):
        writable_folder(tmp_path)


def test_a_folder_is_free_for_others_where_nothing_ran(tmp_path):
    failures = Failures(tmp_path)
    assert failures.lock.is_locked
    failures.free()
    failures.free()
    assert not failures.lock.is_locked
    assert not (tmp_path / ".lock").exists()

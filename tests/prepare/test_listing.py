from __future__ import annotations

import logging

import pytest

from hrcam_monai.data.manifest import ManifestError
from hrcam_monai.prepare.labels import read_table
from hrcam_monai.prepare.listing import Columns, other_values, people_labels, read_listing, stem


@pytest.fixture
def folder(tmp_path):
    """Files of three people, one with two."""
    files = ("p1_a.png", "p1_b.png", "p2.png", "sub/p3.png", "p2_seg.png")
    for name in files:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).touch()
    return tmp_path / "files"


def table(folder, *lines, name="labels.csv"):
    (folder.parent / name).write_text("\n".join(lines))
    return folder.parent / name


def test_columns_are_guessed_and_told(folder, caplog):
    caplog.set_level(logging.INFO)
    lines = ("p1_a.png,p1,ill,60,", "p1_b,p1,ill,60,", "p2.png,p2,well,n/a,p2_seg")
    path = table(folder, "Image,Patient,Diagnosis,Age,mask", *lines)
    listed, failures = read_listing(folder, path)
    assert not failures
    assert [(n, line.subject, line.label, line.file.name) for n, line in listed.items()] == [
        ("p1_a", "p1", "ill", "p1_a.png"),
        ("p1_b", "p1", "ill", "p1_b.png"),
        ("p2", "p2", "well", "p2.png"),
    ]
    assert listed["p2"].mask == folder / "p2_seg.png"
    assert [other_values(path, line, ["age"]) for line in listed.values()] == [{"age": 60.0}, {"age": 60.0}, {}]
    with pytest.raises(ManifestError, match="has no column 'sex'; its columns are Image, Patient, Diagnosis, Age, mask"):
        other_values(path, listed["p2"], ["sex"])
    assert "file from column 'Image', subject from column 'Patient', label from column 'Diagnosis'" in caplog.text


def test_files_are_found_by_their_subjects(folder):
    path = table(folder, "subject;label", "p3;ill", "p2_seg;well", "p1;well", "p9;ill")
    listed, failures = read_listing(folder, path)
    assert {name: line.file for name, line in listed.items()} == {
        "p3": folder / "sub" / "p3.png",
        "p2_seg": folder / "p2_seg.png",
    }
    assert [f.error.partition(" in ")[0] for f in failures] == ["2 files (p1_a.png, p1_b.png)", "no file"]


def test_without_people_each_file_is_of_another(folder):
    listed, _ = read_listing(folder, table(folder, "file,group", "p1_a.png,ill", "p2.png,well"))
    assert [line.subject for line in listed.values()] == ["p1_a", "p2"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["file,label", "../x.png,ill", "p2.png,well"], "'../x.png' leaves"),
        (["file,label", ",ill", "p2.png,well"], "names no file; complete its line"),
        (["file,label", "nowhere.png,ill", "p2.png,well"], "no file 'nowhere.png' in"),
        (["file,label,mask", "p1_a.png,ill,gone.png", "p2.png,well,"], "no file 'gone.png' in"),
        (["file,label,subject", "p1_a.png,ill,a/b", "p2.png,well,c"], "'a/b' cannot name a file"),
    ],
)
def test_a_line_that_cannot_be_used_costs_itself(folder, lines, told):
    listed, failures = read_listing(folder, table(folder, *lines))
    assert list(listed) == ["p2"]
    assert failures[0].error.startswith(told)


@pytest.mark.parametrize(
    ("lines", "options", "told"),
    [
        (
            ["name,label", "a,ill"],
            {},
            "no column names files or subjects; its columns are name, label; choose one with --file-column",
        ),
        (["file,path,label", "a,b,ill"], {}, "file and path may both be the file; choose one with --file-column"),
        (
            ["file,label", "a,ill"],
            {"columns": Columns(label="dx")},
            "has no column 'dx'; its columns are file, label",
        ),
        (["file,label", "p2.png,ill", "p2,well"], {}, "lists p2.png twice, or two files named p2"),
        (
            ["file,label,fold", "p2.png,ill,1", "p1_a.png,ill,x"],
            {},
            "column 'fold' holds 1, x; write training, validation",
        ),
        (["file,label,fold", "p2.png,ill,1", "p1_a.png,ill,2"], {}, "column 'fold' holds 1, 2; write training"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(folder, lines, options, told):
    with pytest.raises(ManifestError) as raised:
        read_listing(folder, table(folder, *lines), **options)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("values", "splits"),
    [(("train", "val", "test"), ["training", "validation", "test"]), (("0", "1", "2"), ["training", "validation", "test"])],
)
def test_folds_become_splits(folder, values, splits):
    lines = [f"{file},ill,{value}" for file, value in zip(("p1_a", "p2", "sub/p3"), values, strict=True)]
    listed, _ = read_listing(folder, table(folder, "file,label,fold", *lines))
    assert [line.split for line in listed.values()] == splits


def test_a_person_counts_as_most_of_their_images_do(folder):
    path = table(folder, "file,subject,label", "p1_a,p1,ill", "p1_b,p1,ill", "p2,p1,well", "sub/p3,p3,well")
    assert people_labels(read_listing(folder, path)[0]) == {"p1": "ill", "p3": "well"}


def test_excel_is_a_table_too(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in (["file", "label", "age"], ["p2.png", "ill", 63], [None, None, None], ["p1_a.png", "well", None]):
        book.active.append(line)
    path = folder.parent / "labels.xlsx"
    book.save(path)
    assert read_table(path) == [{"file": "p2.png", "label": "ill", "age": "63"}, {"file": "p1_a.png", "label": "well", "age": ""}]
    path.write_bytes(b"PK no workbook")
    with pytest.raises(ManifestError, match="is no Excel file that can be read"):
        read_table(path)


def test_stems():
    assert [stem(n) for n in ("a.nii.gz", "b/c.d.PNG", "e")] == ["a", "c.d", "e"]

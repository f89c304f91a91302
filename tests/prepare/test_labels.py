from __future__ import annotations

from collections import Counter

import pytest

from hrcam_monai.data import ManifestError
from hrcam_monai.prepare.labels import order_classes, read_columns, read_labels, split_subjects


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path, separator):
    text = "Subject,Age,Label\ns1,30,a\ns2,40,n/a\ns3,,b".replace(",", separator)  # no newline at the end
    assert read_labels(table(tmp_path, text)) == {"s1": "a", "s3": "b"}


def test_other_columns(tmp_path):
    path = table(
        tmp_path,
        "participant_id\tAge\tgroup\tsite\nsub-1\t63.5\ta\tnorth\nsub-2\tn/a\tb\tinf\nsub-3\t61,5\tb\tsouth\nsub-2\t70\tb\t\n",
    )
    third = {"sub-3": {"Age": 61.5, "site": "south"}}
    assert read_columns(path, ["age", "site"]) == {
        "sub-1": {"Age": 63.5, "site": "north"},
        "sub-2": {"site": "inf", "Age": 70.0},
        **third,
    }
    assert read_columns(tmp_path / "gone.csv", []) == {}
    with pytest.raises(
        ManifestError, match="has no column 'sex'; its columns are participant_id, Age, group, site; correct --cov"
    ):
        read_columns(path, ["sex"])


def test_two_values_of_one_subject_are_refused(tmp_path):
    path = table(tmp_path, "subject,age,label\ns1,63.5,a\ns1,70,a\n")
    with pytest.raises(ManifestError, match=r"subject 's1' has age both 63.5 and 70.0; keep one line."):
        read_columns(path, ["age"])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("who,label\ns1,a\n", None, "has no column participant_id or subject; its columns are who, label; name the one with"),
        ("subject,sex\ns1,f\n", None, "has no column group or diagnosis or label; its columns are subject, sex; choose one with"),
        ("subject,sex\ns1,f\n", "age", "has no column 'age'; its columns are subject, sex; choose one with --label-column."),
        ("subject,group,label\ns1,f,m\n", None, "has several of group, label; its columns are subject, group, label; choose one"),
        ("subject,label\ns1,a\ns1,b\n", None, "subject 's1' is both 'a' and 'b'; keep one line."),
        ("subject,label\n", None, "has no rows; write a header, then one line a subject."),
    ],
)
def test_bad_tables(tmp_path, text, column, message):
    path = table(tmp_path, text)
    with pytest.raises(ManifestError) as error:
        read_labels(path, column)
    assert str(error.value).startswith(f"{path}: {message}")


def test_no_table(tmp_path):
    with pytest.raises(ManifestError, match="no such table of labels; give a CSV or TSV file with --labels"):
        read_labels(tmp_path / "gone.csv")
    (tmp_path / "t.ods").write_bytes(b"PK\xff\xfe\x00")
    with pytest.raises(ManifestError, match=r"is not a text table; save it as CSV \(UTF-8\)"):
        read_labels(tmp_path / "t.ods")


def test_the_reference_is_first():
    assert order_classes(["PD", "Control", "MSA"]) == ["Control", "MSA", "PD"]
    assert order_classes(["b", "a"]) == ["a", "b"]
    assert order_classes(["b", "a"], "b") == ["b", "a"]
    with pytest.raises(ManifestError, match=r"the labels name 1 class\(es\) \(a\); a classifier needs two or more"):
        order_classes(["a", "a"])
    with pytest.raises(ManifestError, match="--reference 'c' is none of the classes a, b"):
        order_classes(["b", "a"], "c")
    with pytest.raises(ManifestError, match="of the labels 'PD' and 'pd' mean the same, but are written in two ways"):
        order_classes(["pd", "PD", "control"])


def test_splits_are_stratified_and_seeded():
    labels = {f"s{i:02d}": "a" if i % 3 else "b" for i in range(36)}
    splits = split_subjects(labels, (4, 1, 1), 0)
    assert list(splits) == sorted(labels)
    assert Counter((splits[s], labels[s]) for s in labels) == {
        ("training", "a"): 16, ("training", "b"): 8, ("validation", "a"): 4,
        ("validation", "b"): 2, ("test", "a"): 4, ("test", "b"): 2,
    }  # fmt: skip
    assert split_subjects(dict(reversed(labels.items())), (4, 1, 1), 0) == splits
    assert split_subjects(labels, (4, 1, 1), 1) != splits
    assert set(split_subjects(labels, (0, 0, 1), 0).values()) == {"test"}
    assert Counter(split_subjects(labels, (1, 0, 1), 0).values()) == {"training": 18, "test": 18}


def test_too_few_subjects():
    with pytest.raises(ManifestError, match=r"too few subjects \(3 of 'a', 1 of 'b'\) for --split 4 1 1 with each class"):
        split_subjects({"1": "a", "2": "a", "3": "a", "4": "b"}, (4, 1, 1), 0)
    with pytest.raises(ManifestError, match="--split 0 0 0: give shares of 0 or more, not all 0"):
        split_subjects({"1": "a", "2": "b"}, (0, 0, 0), 0)

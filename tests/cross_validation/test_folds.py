from __future__ import annotations

import json
from collections import Counter

import pytest

from hrcam_monai.cross_validation.folds import assign_folds, check_size, fold_manifest, subject_labels
from hrcam_monai.data.manifest import ManifestError, load_manifest

LABELS = {f"s{i:02d}": int(i % 4 == 0) for i in range(40)}  # 30 and 10
CLASSES = ["normal", "abnormal"]


def of_split(fold, split):
    return {s for s, name in fold.items() if name == split}


def test_every_subject_is_held_out_exactly_once():
    folds = assign_folds(LABELS, 5, 0)
    held_out = [s for fold in folds for s in of_split(fold, "test")]
    assert sorted(held_out) == sorted(LABELS)
    assert all(set(fold) == set(LABELS) for fold in folds)


def test_each_part_holds_each_class_in_its_share():
    for fold in assign_folds(LABELS, 5, 0):
        counts = {split: Counter(LABELS[s] for s in of_split(fold, split)) for split in ("training", "validation", "test")}
        assert counts["test"] == {0: 6, 1: 2}
        assert counts["validation"][1] in (1, 2)
        assert sum(counts["validation"].values()) in (6, 7)
        assert counts["training"][1] >= 6


def test_same_seed_same_folds_in_any_order_and_another_seed_others():
    turned = dict(reversed(LABELS.items()))
    assert assign_folds(LABELS, 5, 3) == assign_folds(turned, 5, 3)
    assert assign_folds(LABELS, 5, 3) != assign_folds(LABELS, 5, 4)


@pytest.mark.parametrize(("folds", "least"), [(2, 4), (3, 3), (5, 5)])
def test_the_fewest_subjects_that_are_enough(folds, least):
    labels = {f"s{i:02d}": int(i < least) for i in range(20)}
    check_size(labels, folds, CLASSES)
    for fold in assign_folds(labels, folds, 0):
        for split in ("training", "validation", "test"):
            assert {labels[s] for s in of_split(fold, split)} == {0, 1}


@pytest.mark.parametrize(
    ("abnormal", "folds", "message"),
    [
        (3, 5, "class 'abnormal' has 3 subjects, 5 folds need 5 of each class; add subjects, or give --folds 3."),
        (3, 2, "class 'abnormal' has 3 subjects, 2 folds need 4 of each class; add subjects."),
        (0, 5, "class 'abnormal' has 0 subjects, 5 folds need 5 of each class; add subjects."),
        (5, 1, "--folds 1: give 2 or more."),
    ],
)
def test_too_few_subjects(abnormal, folds, message):
    with pytest.raises(ManifestError) as caught:
        check_size({f"s{i:02d}": int(i < abnormal) for i in range(20)}, folds, CLASSES)
    assert str(caught.value) == message


def test_subjects_that_cannot_be_dealt_out():
    two = [{"subject": "a", "label": 0}, {"subject": "a", "label": 1}]
    with pytest.raises(ManifestError, match="subject 'a' has images of two classes; .* list images of one"):
        subject_labels(two)
    named = [{"subject": "a", "label": 0}, {"subject": "a", "label": 0}, {"subject": "a_2", "label": 0}]
    with pytest.raises(ManifestError, match="subject 'a_2' has the name of another image of 'a'; rename one"):
        subject_labels(named)


def test_all_images_of_a_subject_stay_together_and_paths_stay_valid(cohort, tmp_path):
    manifest = load_manifest(cohort)
    entries = [e for listed in manifest.entries.values() for e in listed]
    entries[0]["subject"] = entries[1]["subject"] = "twice"
    entries[1]["label"] = entries[0]["label"]
    entries[2]["regions"] = entries[2]["mask"]  # an absolute path, as load_manifest makes of it
    labels = subject_labels(entries)
    for fold in assign_folds(labels, 2, 0):
        (tmp_path / "manifest.json").write_text(json.dumps(fold_manifest(manifest, cohort, fold)))
        read = load_manifest(tmp_path, root=cohort, strict=True)  # a subject in two splits would raise
        found = [e for listed in read.entries.values() for e in listed]
        assert sorted(e["image"] for e in found) == sorted(e["image"] for e in entries)
        assert {e["image"]: e["label"] for e in found} == {e["image"]: e["label"] for e in entries}
        assert all(e["split"] == fold[e["subject"]] for e in found)
        assert sum("mask" in e for e in found) == sum("mask" in e for e in entries)
        assert [e["regions"] for e in found if "regions" in e] == [entries[2]["regions"]]

from __future__ import annotations

import logging

import pytest

from hrcam_monai.data.manifest import ManifestError
from hrcam_monai.prepare.inputs import Choice
from hrcam_monai.prepare.study import Study, check_study, enrol, manifest_of, unshown

SUBJECTS = ("sub-1", "sub-2", "sub-3")


@pytest.fixture
def choice(tmp_path):
    """BIDS, with a table that leaves one subject out and names one that is not there."""
    (tmp_path / "dataset_description.json").write_text("{}")
    table = "participant_id\tgroup\tage\n1\tpatient\t60\nsub-2\tcontrol\tn/a\nsub-9\tcontrol\t30\n"
    (tmp_path / "participants.tsv").write_text(table)
    return Choice(tmp_path)


def record(subject: str, **slices):
    return {"subject": subject, "outputs": {"image": "", "regions": ""}, "roi": [1.0, 2.0, 3.0], "slices": slices}


def enrolled(choice, **options):
    return enrol(Study(split=(1, 0, 0), covariates=["age"], **options), choice, SUBJECTS)[0]


def test_those_with_a_label_are_enrolled_and_the_others_listed(choice, caplog):
    caplog.set_level(logging.INFO)
    found, without = enrol(Study(split=(1, 0, 0), covariates=["age"]), choice, SUBJECTS)
    assert found.labels == {"sub-1": "patient", "sub-2": "control"}
    assert found.covariates == {"sub-1": {"age": 60.0}, "sub-2": {}}
    assert found.classes == ["control", "patient"]
    assert found.splits == {"sub-1": "training", "sub-2": "training"}
    assert [(f.subject, f.error) for f in without] == [
        ("sub-3", "has no label in participants.tsv; add its line, or take the folder away")
    ]
    assert "1 subject(s) have no folder in" in caplog.text
    assert "classes: control (reference), patient" in caplog.text


def test_the_manifest_holds_what_was_asked_for(choice):
    made = manifest_of([record("sub-1", regions=[[2, 4]], mask=[[3]])], enrolled(choice, slices_from="regions"), "study")
    assert made["training"] == [
        {
            "age": 60.0,
            "image": "images/sub-1.nii.gz",
            "regions": "regions/sub-1.nii.gz",
            "label": "patient",
            "subject": "sub-1",
            "roi": [1.0, 2.0, 3.0],
            "slices": [[2, 4]],
        }
    ]
    assert (made["name"], made["classes"], made["test"]) == ("study", ["control", "patient"], [])
    assert "slices" not in manifest_of([record("sub-1", mask=[[3]])], enrolled(choice), "study")["training"][0]


def test_regions_that_show_nothing_are_failures_and_lacking_masks_are_told(choice, caplog):
    records = [record("sub-1", mask=[[3]]), record("sub-2")]
    assert unshown(records, enrolled(choice)) == []
    assert [f.subject for f in unshown(records, enrolled(choice, slices_from="regions"))] == ["sub-1", "sub-2"]
    assert unshown(records, enrolled(choice, slices_from="masks")) == []
    assert "1 subject(s) of class control have no mask" in caplog.text


def test_slices_need_something_to_be_chosen_by(choice):
    with pytest.raises(ManifestError, match="--slices-from 'images': choose masks or regions, and say where they are"):
        check_study(Study(slices_from="images"), choice)

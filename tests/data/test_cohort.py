from __future__ import annotations

import pytest
from monai.transforms import Compose

from hrcam_monai.data import CachedCohort, CohortDataset, Failures
from hrcam_monai.transforms import LoadScand


def items(head, tmp_path):
    (tmp_path / "empty.nii.gz").touch()
    return [{"image": str(tmp_path / "empty.nii.gz"), "subject": "bad"}, {"image": str(head), "subject": "good"}]


def test_streaming_gives_a_failure_in_place_of_the_item(head, tmp_path):
    dataset = CohortDataset(items(head, tmp_path), Compose([LoadScand("image")]))
    assert dataset[0]["failure"].endswith("is empty (0 bytes); copy it again from its source.")
    assert dataset[0]["subject"] == "bad"
    assert dataset[1]["image"].shape == (1, 20, 24, 16)


def test_cache_leaves_bad_subjects_out(head, tmp_path):
    failures = Failures(tmp_path / "out")
    dataset = CachedCohort(items(head, tmp_path), Compose([LoadScand("image")]), failures)
    assert [d["subject"] for d in dataset] == ["good"]
    assert [f.subject for f in failures.found] == ["bad"]


def test_nothing_left(tmp_path, head):
    with pytest.raises(RuntimeError, match=r"No subject could be read; see .*failures.csv"):
        CachedCohort(items(head, tmp_path)[:1], Compose([LoadScand("image")]), Failures(tmp_path / "out"))

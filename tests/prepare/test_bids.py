from __future__ import annotations

import pytest

from hrcam_monai.data import ScanError
from hrcam_monai.prepare.bids import bids_image, is_bids


@pytest.fixture
def subject(tmp_path):
    for name in ("ses-1/anat/sub-1_ses-1_T1w.nii.gz", "ses-2/anat/sub-1_ses-2_ce-gd_T1w.nii", "anat/sub-1_FLAIR.nii.gz"):
        file = tmp_path / "sub-1" / name
        file.parent.mkdir(parents=True)
        file.touch()
    return tmp_path / "sub-1"


def test_what_is_bids(tmp_path, subject):
    assert is_bids(tmp_path)
    assert not is_bids(subject)
    (subject / "dataset_description.json").touch()
    assert is_bids(subject)


def test_chosen_by_suffix_and_match(subject):
    assert bids_image(subject, "FLAIR").name == "sub-1_FLAIR.nii.gz"
    assert bids_image(subject, match="CE-").name == "sub-1_ses-2_ce-gd_T1w.nii"
    assert bids_image(subject, match="ses-1").name == "sub-1_ses-1_T1w.nii.gz"


def test_several_or_none(subject):
    with pytest.raises(ScanError) as error:
        bids_image(subject)
    assert str(error.value) == (
        f"{subject}: 2 images fit: sub-1_ses-1_T1w.nii.gz, sub-1_ses-2_ce-gd_T1w.nii; choose one with --match, a regular "
        "expression on the name."
    )
    with pytest.raises(ScanError) as error:
        bids_image(subject, match="ses-3")
    assert str(error.value) == (
        f"{subject}: has no *_T1w.nii[.gz] that matches --match 'ses-3'; its anat folders hold sub-1_FLAIR.nii.gz, "
        "sub-1_ses-1_T1w.nii.gz, sub-1_ses-2_ce-gd_T1w.nii; choose with --suffix and --match."
    )
    with pytest.raises(ScanError, match="its anat folders hold no image at all"):
        bids_image(subject.parent / "sub-2")

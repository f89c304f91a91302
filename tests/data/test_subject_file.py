from __future__ import annotations

import pytest

from hrcam_monai.data import ManifestError, ScanError
from hrcam_monai.data.subject_file import see_place, subject_file
from tests.prepare.test_inputs import touch


def test_a_subjects_file_is_not_another_ones(tmp_path):
    touch(tmp_path, "deep/s1_mask.nii.gz", "s1_T1w.nii.gz", "s10_mask.nii.gz", "s2.nii", "s2.json")
    assert subject_file(str(tmp_path), "s1", "--masks").name == "s1_mask.nii.gz"
    assert subject_file(str(tmp_path), "s2", "--masks").name == "s2.nii"
    assert subject_file(str(tmp_path), "s3", "--masks") is None
    assert subject_file(f"{tmp_path}/*/{{subject}}_*", "s1", "--masks").name == "s1_mask.nii.gz"
    touch(tmp_path, "s1_mask.nii")
    assert subject_file(f"{tmp_path}/*/{{subject}}*_mask.nii.gz", "s1", "--masks").name == "s1_mask.nii.gz"
    with pytest.raises(ScanError, match="--masks: 2 files fit s1: s1_mask.nii.gz, s1_mask.nii; give a pattern such as"):
        subject_file(str(tmp_path), "s1", "--masks")


def test_a_place_is_a_folder_or_a_pattern(tmp_path):
    see_place(str(tmp_path), "--masks")
    see_place(f"{tmp_path}/{{subject}}/mask.nii", "--masks")
    with pytest.raises(ManifestError, match=r"^--masks nowhere: no such folder; give one, or a pattern with \{subject\}\.$"):
        see_place("nowhere", "--masks")

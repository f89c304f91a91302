from __future__ import annotations

import pickle

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data import ScanError
from hrcam_monai.data.itk_images import to_array
from hrcam_monai.prepare.inputs import Choice, find_subjects, input_hashes, locate, read_mask
from tests.data.dicom import write_series


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_subjects_of_both_layouts(tmp_path):
    touch(tmp_path, "bids/sub-2/ses-1/anat/sub-2_ses-1_T1w.nii.gz", "bids/sub-1/anat/x.nii", "bids/derivatives/a.nii")
    touch(tmp_path, "dicom/b/1.dcm", "dicom/a/x/1.dcm", "dicom/.hidden/1.dcm")
    assert (Choice(tmp_path / "bids").bids, find_subjects(Choice(tmp_path / "bids"))) == (True, ["sub-1", "sub-2"])
    assert (Choice(tmp_path / "dicom").bids, find_subjects(Choice(tmp_path / "dicom"))) == (False, ["a", "b"])


def test_the_hash_of_a_series_is_that_of_its_slices_not_of_its_names(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", values=np.ones((6, 24, 20)))
    first = input_hashes(locate(Choice(tmp_path), "a"))
    for file in (tmp_path / "a").iterdir():
        file.rename(file.with_name(f"x{file.name}"))
    assert input_hashes(locate(Choice(tmp_path), "a")) == first
    assert input_hashes(locate(Choice(tmp_path), "b")) != first


def test_masks_may_be_empty_and_must_be_whole_numbers(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "empty.nii")
    assert to_array(read_mask(tmp_path / "empty.nii"))[0].dtype == np.uint8
    for value in (-1, 256, 0.5):
        nib.save(nib.Nifti1Image(np.full((3, 4, 5), value, np.float32), np.eye(4)), tmp_path / "bad.nii")
        with pytest.raises(ScanError, match="is no mask: its values are not whole numbers from 0 to 255; round or threshold it"):
            read_mask(tmp_path / "bad.nii")


def test_a_worker_is_handed_its_own_line_of_the_table_alone(tmp_path):
    names = [f"s{i:04d}" for i in range(500)]
    touch(tmp_path / "scans", *(f"{name}.nii.gz" for name in names))
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n" + "".join(f"{name}.nii.gz,a\n" for name in names))
    choice = Choice(tmp_path / "scans", table=table)
    own = pickle.dumps(choice.of("s0007"))
    assert len(own) < 2000 < 20 * len(own) < len(pickle.dumps(choice))
    there = pickle.loads(own)
    table.unlink()
    assert locate(there, "s0007") == locate(choice, "s0007")

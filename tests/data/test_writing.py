from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.data.writing import write_volume
from hrcam_monai.utils.files import write_json


def test_a_volume_is_whole_or_not_there(tmp_path, monkeypatch):
    array = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    write_volume(array, np.diag([-2.0, 2.0, 3.0, 1.0]), tmp_path / "a.nii.gz")
    first = (tmp_path / "a.nii.gz").read_bytes()
    np.testing.assert_array_equal(nib.load(tmp_path / "a.nii.gz").get_fdata(dtype=np.float32), array)
    write_volume(array, np.diag([-2.0, 2.0, 3.0, 1.0]), tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == first

    def break_off(_image, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("nibabel.save", break_off)
    with pytest.raises(KeyboardInterrupt):
        write_volume(array, np.eye(4), tmp_path / "b.nii.gz")
    assert not (tmp_path / "b.nii.gz").exists()


def test_json(tmp_path):
    write_json({"a": [1]}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1\n ]\n}'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]

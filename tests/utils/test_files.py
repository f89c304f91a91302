from __future__ import annotations

import hashlib

import pytest

from hrcam_monai.utils.files import file_hash, whole


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.nii.gz"
    (tmp_path / ".a.nii.gz").write_text("of a run that was killed")
    with whole(path) as partial:
        assert not partial.exists()
        assert partial.name.endswith(".nii.gz")
        partial.write_text("first")

    def broken_off(partial):
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole(path) as partial:
        broken_off(partial)
    assert path.read_text() == "first"


def test_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == file_hash(str(tmp_path / "a")) == hashlib.sha256(b"abc").hexdigest()

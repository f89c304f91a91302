from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch

from hrcam_monai.data.pictures import store_picture
from hrcam_monai.data.writing import write_volume
from hrcam_monai.figures import evaluation_figure
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.csv_files import append_csv, read_csv
from hrcam_monai.utils.files import OutputError, atomic_write, file_hash, write_json, write_tensors, write_text


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.nii.gz"
    (tmp_path / ".a.nii.gz").write_text("of a run that was killed")
    with atomic_write(path) as partial:
        assert not partial.exists()
        assert partial.name.endswith(".nii.gz")
        partial.write_text("first")

    def broken_off(partial):
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        broken_off(partial)
    assert path.read_text() == "first"


def test_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == file_hash(str(tmp_path / "a")) == hashlib.sha256(b"abc").hexdigest()


NOISE = np.random.default_rng(0).random((1, 40, 40, 1))
WRITERS = {
    "text": lambda path: write_text(path, "a" * 5000),
    "json": lambda path: write_json(["a" * 5000], path),
    "pt": lambda path: write_tensors({"weights": torch.ones(5000)}, path),
    "nii.gz": lambda path: write_volume(NOISE[0].astype(np.float32), np.eye(4), path),
    "tif": lambda path: store_picture(NOISE.astype(np.float32), path),
    "png": lambda path: evaluation_figure([], Classes(("a", "b")), path),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("before", [None, "of an earlier run"])
def test_on_a_full_disk_nothing_is_torn_and_the_file_is_told(tmp_path, no_room, suffix, before):
    path = tmp_path / f"a.{suffix}"
    if before:
        path.write_text(before)
    with no_room(1000), pytest.raises(OutputError) as error:
        WRITERS[suffix](path)
    assert str(error.value) == f"{path}: could not be written (File too large); make room there, then run again."
    assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_on_a_full_disk_a_table_ends_where_it_did(tmp_path, no_room):
    path = tmp_path / "a.csv"
    append_csv(path, [{"subject": "a" * 900}])
    kept = path.read_text()
    with no_room(1000), pytest.raises(OutputError, match=r"a\.csv: could not be written"):
        append_csv(path, [{"subject": "b" * 900}])
    assert path.read_text() == kept
    append_csv(path, [{"subject": "c"}])
    assert [row["subject"][:1] for row in read_csv(path)] == ["a", "c"]


def test_an_error_of_a_full_disk_passes_between_processes(tmp_path):
    error = OutputError("a: could not be written")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)

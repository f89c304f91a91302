from __future__ import annotations

import subprocess
import sys

import pytest

from hrcam_monai.data import Failures
from hrcam_monai.utils.folder_lock import free_folder, lock_folder

HOLD = """
import sys
from hrcam_monai.utils.folder_lock import lock_folder
lock = lock_folder(sys.argv[1])
print("held", flush=True)
input()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_another_process_is_refused_in_one_line_until_it_is_gone(tmp_path, other):
    for attempt in (lock_folder, Failures):
        with pytest.raises(ValueError, match=f"^{tmp_path}: another process is at work in it; wait until it ends, or choose"):
            attempt(tmp_path)
    other.kill()
    other.wait()
    free_folder(lock_folder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_process_locks_a_folder_as_often_as_it_likes(tmp_path):
    first, second = lock_folder(tmp_path), lock_folder(tmp_path)
    free_folder(first)
    run = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, input="\n")
    assert "another process is at work" in run.stderr
    free_folder(second)
    run = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, input="\n")
    assert run.stdout == "held\n"


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def none(self):
        raise NotImplementedError("no flock here")

    monkeypatch.setattr("filelock.FileLock.acquire", none)
    assert lock_folder(tmp_path) is None
    assert "cannot be locked (no flock here); start one process at a time in it" in caplog.text

"""Files that are whole or not there, and what tells one file from another."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "OutputError",
    "atomic_write",
    "beside",
    "file_hash",
    "files_hash",
    "write_json",
    "write_tensors",
    "write_text",
    "writing",
]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a disk, of a user's part of it, of the largest file allowed


class OutputError(OSError):
    """A file that cannot be written. No subject is to blame, and the next would fare alike: a run ends with it."""


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Tell which file could not be written.

    Raises:
        OutputError: in place of the system's error, which mostly names no file.

    Example:
        >>> with writing("/tmp/log.txt"):
        ...     _ = Path("/tmp/log.txt").write_text("begun")
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        what = "make room there" if error.errno in FULL else "see that its folder can be written to"
        raise OutputError(f"{path}: could not be written ({error.strerror or error}); {what}, then run again.") from None


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    r"""A file to write in place of `path`, which takes its name at the end: an interrupted run leaves no half file behind.

    Its suffix is that of `path`; its name begins with a dot, as files do that no one looks for.

    Raises:
        OutputError: it cannot be written; nothing of it stays.

    Example:
        >>> with atomic_write(Path("/tmp/table.csv")) as partial:
        ...     _ = partial.write_text("subject\n")
    """
    partial = path.with_name(f".{path.name}")
    with writing(path):
        try:
            partial.unlink(missing_ok=True)
            yield partial
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all, as UTF-8.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_tensors(content: Any, path: Path) -> None:
    """What `torch.save` writes, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_write(path) as partial, partial.open("wb") as stream:  # torch itself, given a path, does not say what went wrong
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def write_json(content: Any, path: Path) -> None:
    """A JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1))


def beside(weights: str | Path, name: str) -> Path:
    """Where a file about weights lies: `name` beside `model.pt`, `NAME_name` beside others.

    Example:
        >>> beside("run/model.pt", "network.json").name, beside("run/two_stage.pt", "network.json").name
        ('network.json', 'two_stage_network.json')
    """
    path = Path(weights)
    return path.with_name(name if path.stem == "model" else f"{path.stem}_{name}")


def file_hash(path: str | Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_hash(paths: Iterable[str | Path]) -> str:
    """sha256 of the hashes of several files, in their order."""
    return hashlib.sha256("".join(map(file_hash, paths)).encode()).hexdigest()

"""Files that are whole or not there, and what tells one file from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    r"""A file to write in place of `path`, which takes its name at the end: an interrupted run leaves no half file behind.

    Its suffix is that of `path`; its name begins with a dot, as files do that no one looks for.

    Example:
        >>> with whole(Path("/tmp/table.csv")) as partial:
        ...     _ = partial.write_text("subject\n")
    """
    partial = path.with_name(f".{path.name}")
    partial.unlink(missing_ok=True)
    yield partial
    partial.replace(path)


def write_json(content: Any, path: Path) -> None:
    """A JSON file, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1))


def file_hash(path: str | Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_hash(paths: Iterable[str | Path]) -> str:
    """sha256 of the hashes of several files, in their order."""
    return hashlib.sha256("".join(map(file_hash, paths)).encode()).hexdigest()

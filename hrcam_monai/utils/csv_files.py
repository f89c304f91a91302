"""CSV files that grow line by line, and survive an interruption."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrcam_monai.utils.files import atomic_write, writing

__all__ = ["append_csv", "read_csv", "write_csv"]


def write_csv(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = (), form: str = ".6f") -> None:
    """A CSV file of these rows, whole or not at all; see `append_csv`."""
    with atomic_write(path) as partial:
        append_csv(partial, rows, columns, form)


def append_csv(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = (), form: str = ".6f") -> None:
    """Rows to the end of a CSV file; a new one gets a header.

    Args:
        path: the file.
        rows: of some of the columns each.
        columns: of the file; by default the keys of the rows.
        form: format of floats.

    Raises:
        OutputError: they cannot be written; the file then ends where it did.
    """
    before = path.stat().st_size if path.exists() else 0
    with writing(path):
        try:
            with path.open("a", newline="") as stream:
                names = columns or list(dict.fromkeys(k for row in rows for k in row)) or ["subject"]
                writer = csv.DictWriter(stream, fieldnames=names)
                if not before:
                    writer.writeheader()
                writer.writerows({k: f"{v:{form}}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        except OSError:
            if path.exists():
                os.truncate(path, before)
            raise


def read_csv(path: Path) -> list[dict[str, str]]:
    """The whole lines of a CSV file; a last one that an interruption has cut is passed over."""
    with path.open(newline="") as stream:
        text = stream.read()
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

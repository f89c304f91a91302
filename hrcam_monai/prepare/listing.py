"""A flat folder of files and a table that says what each one is: the commonest layout of a researcher's own data."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hrcam_monai.data.file_kinds import SUFFIXES, is_scan, stem
from hrcam_monai.data.manifest import SPLITS, Failure, ManifestError, inside
from hrcam_monai.data.names import UNNAMEABLE, names_files
from hrcam_monai.prepare.labels import EMPTY, LABEL_COLUMNS, SUBJECT_COLUMNS, number, read_table

__all__ = ["Columns", "Listed", "other_values", "people_labels", "read_listing"]

logger = logging.getLogger(__name__)
GUESSES = {
    "file": ("file", "filename", "file_name", "image", "image_path", "path", "filepath", "scan", "img"),
    "subject": (*SUBJECT_COLUMNS, "patient", "patient_id", "subject_id", "case", "person"),
    "label": (*LABEL_COLUMNS, "class", "target"),
    "mask": ("mask", "mask_path", "mask_file", "segmentation", "seg"),
    "fold": ("split", "fold", "set", "partition"),
}
SPLIT_NAMES = {"train": "training", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}


@dataclass(frozen=True)
class Columns:
    """Names of the table's columns; None is guessed (`GUESSES`), and told."""

    file: str | None = None
    subject: str | None = None
    label: str | None = None
    mask: str | None = None
    fold: str | None = None


@dataclass(frozen=True)
class Listed:
    """One line of the table: a file of a person.

    Attributes:
        file: the image.
        subject: the person; several files may be of one.
        label: its class; None where there is none.
        mask: of the finding, for evaluation.
        split: of the person, where the table says it.
        row: all cells of the line, by column.
    """

    file: Path
    subject: str
    label: str | None = None
    mask: Path | None = None
    split: str | None = None
    row: Mapping[str, str] = field(default_factory=dict)


def read_listing(folder: Path, table: Path, columns: Columns | None = None) -> tuple[dict[str, Listed], list[Failure]]:
    """What a table says of the files of a folder, by the files' names without suffix; and the lines that cannot be used.

    Without a column of files, a line's file is the one that its subject names (`p01.nii.gz`, `p01_T1.png`). Without one of
    subjects, each file is of another person, named as the file.

    Args:
        folder: of the files; paths in the table start from it, and do not leave it.
        table: CSV, TSV or Excel.
        columns: see `Columns`.

    Raises:
        ManifestError: a table that cannot be read, columns that are not there or cannot be guessed, a file that is listed twice,
            or folds that no split can be made of.

    Example:
        >>> listed, failures = read_listing(Path("scans"), Path("labels.csv"))  # doctest: +SKIP
        >>> listed["p01_T1"].label  # doctest: +SKIP
        'patient'
    """
    rows = read_table(table)
    there = [c for c in rows[0] if c]
    chosen = _chosen(table, there, columns or Columns())
    files = sorted(p for p in folder.rglob("*") if is_scan(p)) if "file" not in chosen else []
    splits = _splits(table, rows, chosen["fold"]) if "fold" in chosen else {}
    listed: dict[str, Listed] = {}
    failures = []
    for row in rows:
        cells = {key: _cell(row, column) for key, column in chosen.items()}
        try:
            file = _file(folder, cells, files)
            subject = cells.get("subject") or stem(file)
            name = stem(file)
            if not names_files(name) or not names_files(subject):
                raise ValueError(f"'{subject if names_files(name) else name}' {UNNAMEABLE}")
            mask = _inside(folder, cells["mask"]) if cells.get("mask") else None
        except ValueError as error:
            failures.append(Failure(cells.get("subject") or cells.get("file") or "", str(table), str(error)))
            continue
        if name in listed:
            raise ManifestError(f"{table}: lists {file.name} twice, or two files named {name}; keep one line a file.")
        listed[name] = Listed(file, subject, cells.get("label") or None, mask, splits.get(cells.get("fold", "")), row)
    return listed, failures


def _chosen(table: Path, there: Sequence[str], columns: Columns) -> dict[str, str]:
    """The table's columns by what they hold."""
    found: dict[str, str] = {}
    for key in (f.name for f in fields(Columns)):
        wanted = getattr(columns, key)
        if wanted is not None:
            found[key] = _named(table, there, wanted, f"--{key}-column")
            continue
        fitting = [c for c in there if c.strip().lower() in GUESSES[key] and c not in found.values()]
        if len(fitting) > 1:
            raise ManifestError(f"{table}: {' and '.join(fitting)} may both be the {key}; choose one with --{key}-column.")
        if fitting:
            found[key] = fitting[0]
    if "file" not in found and "subject" not in found:
        raise ManifestError(
            f"{table}: no column names files or subjects; its columns are {', '.join(there)}; choose one with --file-column."
        )
    logger.info("%s: %s", table.name, ", ".join(f"{key} from column '{column}'" for key, column in found.items()))
    return found


def _named(table: Path, there: Sequence[str], wanted: str, option: str) -> str:
    for column in there:
        if column.strip().lower() == wanted.strip().lower():
            return column
    raise ManifestError(f"{table}: has no column '{wanted}'; its columns are {', '.join(there)}; correct {option}.")


def _cell(row: Mapping[str, Any], column: str) -> str:
    """A cell's text; empty where the table says that there is nothing."""
    text = str(row.get(column) or "").strip()
    return "" if text.lower() in EMPTY else text


def _file(folder: Path, cells: Mapping[str, str], files: Sequence[Path]) -> Path:
    """The file of a line.

    Raises:
        ValueError: none, several, or outside the folder.
    """
    if "file" in cells:
        if not cells["file"]:
            raise ValueError("names no file; complete its line")
        return _inside(folder, cells["file"])
    subject = cells["subject"]
    found = [f for f in files if stem(f) == subject] or [f for f in files if subject and f.name.startswith(f"{subject}_")]
    if len(found) != 1:
        told = f"{len(found)} files ({', '.join(f.name for f in found[:4])})" if found else "no file"
        raise ValueError(f"{told} in {folder} named as '{subject}'; name files in a column of their own (--file-column)")
    return found[0]


def _inside(folder: Path, named: str) -> Path:
    """A file that the table names, with or without its suffix."""
    file = inside(folder, named)
    if file is None:
        raise ValueError(f"'{named}' leaves {folder}; use paths inside it")
    for suffix in ("", *SUFFIXES):
        if (path := file.with_name(file.name + suffix)).is_file():
            return path
    raise ValueError(f"no file '{named}' in {folder}; correct its line")


def _splits(table: Path, rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, str]:
    """The split that each value of the column means.

    Of numbered folds the last is the test, the one before validates, and the others train.
    """
    values = sorted({_cell(row, column) for row in rows} - {""})
    named = {v: SPLIT_NAMES.get(v.lower(), v.lower()) for v in values}
    if set(named.values()) <= set(SPLITS):
        return named
    numbers = sorted((float(v), v) for v in values if v.replace(".", "", 1).isdigit())
    if len(numbers) < len(values) or len(numbers) < 3:
        raise ManifestError(
            f"{table}: column '{column}' holds {', '.join(values[:6])}; "
            "write training, validation and test, or number three or more folds."
        )
    *_, (_, validation), (_, test) = numbers
    logger.info("fold %s is the test, fold %s validates, the others train", test, validation)
    return dict.fromkeys(values, "training") | {validation: "validation", test: "test"}


def other_values(table: Path, line: Listed, columns: Sequence[str]) -> dict[str, float | str]:
    """Other cells of a line by the names asked for: numbers where they are numbers, empty ones left out.

    Raises:
        ManifestError: there is no such column.
    """
    named = {name.strip(): _named(table, list(line.row), name, "--covariate") for name in columns}
    return {name: number(_cell(line.row, column)) for name, column in named.items() if _cell(line.row, column)}


def people_labels(listed: Mapping[str, Listed]) -> dict[str, str]:
    """The label that a person counts as when people are split: the most frequent of their images'."""
    counts: dict[str, Counter[str]] = {}
    for line in listed.values():
        if line.label:
            counts.setdefault(line.subject, Counter())[line.label] += 1
    return {subject: count.most_common(1)[0][0] for subject, count in counts.items()}

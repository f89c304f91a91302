"""Labels of subjects from a table, their classes, and splits by subject."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrcam_monai.data.failures import reason
from hrcam_monai.data.manifest import SPLITS, ManifestError
from hrcam_monai.data.names import alike_names

__all__ = [
    "EMPTY",
    "LABEL_COLUMNS",
    "SUBJECT_COLUMNS",
    "number",
    "order_classes",
    "read_columns",
    "read_labels",
    "read_table",
    "split_subjects",
]

SUBJECT_COLUMNS = ("participant_id", "subject")
LABEL_COLUMNS = ("group", "diagnosis", "label")
NO_ROWS = "{}: has no rows; write a header, then one line a subject."
EMPTY = ("", "n/a", "na", "nan")  # BIDS writes n/a
REFERENCES = ("normal", "control", "controls", "healthy", "hc", "cn", "negative", "no", "0")


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV or TSV file, as spreadsheets of several countries write it, or of the first sheet of an Excel file.

    Raises:
        ManifestError: not there, not such a file, or without rows.
    """
    if path.suffix.lower() in (".xlsx", ".xlsm") and path.is_file():
        return _read_excel(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such table of labels; give a CSV or TSV file with --labels.") from None
    except (OSError, UnicodeDecodeError):
        raise ManifestError(f"{path}: is not a text table; save it as CSV (UTF-8) and give that with --labels.") from None
    head = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=max("\t,;", key=head.count)))
    if not rows:
        raise ManifestError(NO_ROWS.format(path))
    return rows


def _read_excel(path: Path) -> list[dict[str, str]]:
    """Rows of the first sheet; formulas count by the values that were saved with them."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise ManifestError(f"{path}: Excel files need openpyxl; pip install 'hrcam-monai[excel]', or save it as CSV.") from None
    try:
        sheet = load_workbook(path, read_only=True, data_only=True).worksheets[0]
        head, *lines = [["" if v is None else str(v) for v in line] for line in sheet.iter_rows(values_only=True)]
    except ValueError:
        raise ManifestError(NO_ROWS.format(path)) from None
    except Exception as error:  # openpyxl raises many kinds
        raise ManifestError(f"{path}: is no Excel file that can be read ({reason(error)[:100]}); save it as CSV.") from None
    rows = [dict(zip(head, line, strict=False)) for line in lines if any(line)]
    if not rows:
        raise ManifestError(NO_ROWS.format(path))
    return rows


def _column(path: Path, columns: Sequence[str], wanted: str | None, guesses: Sequence[str], option: str) -> str:
    """The column wanted, or the one that is guessed.

    Raises:
        ManifestError: it is not there, none can be guessed, or several.
    """
    lower = {c.strip().lower(): c for c in columns if c}
    found = [lower[g] for g in ([wanted.strip().lower()] if wanted else guesses) if g in lower]
    if len(found) == 1:
        return found[0]
    what = f"'{wanted}'" if wanted else f"{' or '.join(guesses)}"
    fault = f"has several of {', '.join(found)}" if found else f"has no column {what}"
    raise ManifestError(f"{path}: {fault}; its columns are {', '.join(lower.values())}; {option}.")


def read_labels(path: Path, label_column: str | None = None) -> dict[str, str]:
    """The label of each subject; one without a label is left out.

    Args:
        path: CSV or TSV with the columns participant_id or subject, and one of labels.
        label_column: its name; by default the one of `LABEL_COLUMNS` that is there.

    Raises:
        ManifestError: not readable, a column missing, or a subject with two labels.

    Example:
        >>> read_labels(Path("study/participants.tsv"))  # doctest: +SKIP
        {'sub-01': 'patient', 'sub-02': 'control'}
    """
    rows = read_table(path)
    columns = [c for c in rows[0] if c is not None]
    subject = _column(path, columns, None, SUBJECT_COLUMNS, "name the one with the subjects participant_id")
    label = _column(path, columns, label_column, LABEL_COLUMNS, "choose one with --label-column")
    labels: dict[str, str] = {}
    for row in rows:
        name, value = ((row[c] or "").strip() for c in (subject, label))
        if not name or value.lower() in EMPTY:
            continue
        if labels.setdefault(name, value) != value:
            raise ManifestError(f"{path}: subject '{name}' is both '{labels[name]}' and '{value}'; keep one line.")
    return labels


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Other columns of the table, by subject: numbers where they are numbers, empty cells left out.

    Args:
        path: as for `read_labels`.
        columns: names, in any case.

    Raises:
        ManifestError: not readable, a column missing, or a subject with two values.

    Example:
        >>> read_columns(Path("study/participants.tsv"), ["age", "sex"])  # doctest: +SKIP
        {'sub-01': {'age': 63.0, 'sex': 'f'}}
    """
    if not columns:
        return {}
    rows = read_table(path)
    there = [c for c in rows[0] if c is not None]
    subject = _column(path, there, None, SUBJECT_COLUMNS, "name the one with the subjects participant_id")
    wanted = {c.strip(): c for c in (_column(path, there, name, (), "correct --covariate") for name in columns)}
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        values = {name: (row[column] or "").strip() for name, column in wanted.items()}
        kept = {name: number(value) for name, value in values.items() if value.lower() not in EMPTY}
        who = (row[subject] or "").strip()
        known = found.setdefault(who, {})
        for name, value in kept.items():
            if known.setdefault(name, value) != value:
                raise ManifestError(f"{path}: subject '{who}' has {name} both {known[name]} and {value}; keep one line.")
    return found


def number(text: str) -> float | str:
    """A cell's number, or its text where it is none.

    Example:
        >>> number("63"), number("1,5"), number("f")
        (63.0, 1.5, 'f')
    """
    try:
        value = float(re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", text))  # as half of Europe writes it
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def order_classes(values: Iterable[str], reference: str | None = None) -> list[str]:
    """Class names, the reference ("nothing found") first.

    Args:
        values: labels.
        reference: its name; by default a usual one (`REFERENCES`), else the first by name.

    Raises:
        ManifestError: fewer than two classes, one written in two ways, or the reference is none of them.

    Example:
        >>> order_classes(["patient", "control", "control"])
        ['control', 'patient']
    """
    names = sorted(set(values))
    alike = alike_names(names)
    if alike:
        raise ManifestError(f"of the labels {alike}, but are written in two ways; write them in one.")
    if len(names) < 2:
        raise ManifestError(f"the labels name {len(names)} class(es) ({', '.join(names)}); a classifier needs two or more.")
    if reference is not None and reference not in names:
        raise ManifestError(f"--reference '{reference}' is none of the classes {', '.join(names)}.")
    first = reference or next((n for r in REFERENCES for n in names if n.lower() == r), names[0])
    return [first, *(n for n in names if n != first)]


def split_subjects(labels: Mapping[str, str], shares: Sequence[float], seed: int) -> dict[str, str]:
    """The split of each subject: stratified by label, and the same for the same subjects, labels, shares and seed.

    Args:
        labels: of every subject.
        shares: of training, validation and test; 0 for none.
        seed: of the shuffle.

    Raises:
        ManifestError: the shares do not add up to more than nothing, or a class is too small to be in every split.

    Example:
        >>> splits = split_subjects({f"s{i}": "ab"[i % 2] for i in range(12)}, (4, 1, 1), 0)
        >>> sorted(splits.values()).count("training")
        8
    """
    from sklearn.model_selection import train_test_split

    if min(shares) < 0 or sum(shares) <= 0:
        raise ManifestError(f"--split {' '.join(f'{s:g}' for s in shares)}: give shares of 0 or more, not all 0.")
    left, result = sorted(labels), {}
    wanted = [(s, share) for s, share in zip(SPLITS, shares, strict=True) if share > 0]
    total = len(left)
    try:
        for split, share in wanted[:0:-1]:  # test first, then validation; the rest is for training
            size = max(1, round(total * share / sum(shares)))
            left, taken = train_test_split(left, test_size=size, random_state=seed, stratify=[labels[s] for s in left])
            result.update(dict.fromkeys(taken, split))
    except ValueError:
        counts = ", ".join(f"{n} of '{c}'" for c, n in sorted(Counter(labels.values()).items()))
        raise ManifestError(
            f"too few subjects ({counts}) for --split {' '.join(f'{s:g}' for s in shares)} with each class in every split; "
            "add subjects, or give fewer splits, as --split 1 0 0."
        ) from None
    return {s: result.get(s, wanted[0][0]) for s in sorted(labels)}

"""Bring the folds' files together: tables, maps and failures."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrcam_monai.data.failures import Failures, reason
from hrcam_monai.handlers.predictions import read_predictions
from hrcam_monai.utils.csv_files import read_csv, write_csv

__all__ = ["check_tables", "fold_warnings", "link_maps", "note_failures", "pooled_predictions", "pooled_scores"]

Row = dict[str, Any]


def check_tables(folder: Path) -> None:
    """See that the tables of a fold can be read, so that one that is damaged costs no more than its fold.

    Raises:
        ValueError, OSError: they cannot.
    """
    for path in (folder / "inference" / "predictions.csv", folder / "inference" / "per_subject.csv"):
        try:
            rows = read_csv(path)
            if not all(row["file"] and 0 <= float(row[f"probability_{row['predicted']}"]) <= 1 for row in rows):
                raise ValueError("a line is cut")
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise ValueError(f"{path}: cannot be read ({reason(error)}); remove {folder}, and call again.") from None


def pooled_predictions(output: Path, folders: Mapping[int, Path], entries: Iterable[Row], classes: Sequence[str]) -> list[Row]:
    """`predictions.csv` of all folds, with the columns `fold` and `label`, sorted by subject.

    Returns:
        its rows; `subject` is the manifest's, where the file holds the name of the maps.
    """
    by_file = {entry["image"]: entry for entry in entries}
    rows: list[Row] = []
    for number, folder in folders.items():
        for row in read_predictions(folder / "inference"):
            label = classes[by_file[row["file"]]["label"]]
            rows.append({"subject": row["subject"], "file": row["file"], "fold": number, "label": label, **row})
    rows.sort(key=lambda row: row["subject"])
    write_csv(output / "predictions.csv", rows)
    return [row | {"subject": by_file[row["file"]]["subject"]} for row in rows]


def pooled_scores(output: Path, folders: Mapping[int, Path], entries: Iterable[Row]) -> list[Row]:
    """`per_subject.csv` of all folds, with the column `fold`: localisation on the map of each subject's own class.

    Returns:
        its rows, numbers as numbers, as `evaluation_summary` takes them; `subject` is the manifest's.
    """
    by_file = {entry["image"]: entry["subject"] for entry in entries}
    rows: list[Row] = []
    for number, folder in folders.items():
        table = folder / "inference" / "per_subject.csv"
        rows += [{"fold": number, **row} for row in (read_csv(table) if table.is_file() else [])]
    rows.sort(key=lambda row: row["subject"])
    write_csv(output / "per_subject.csv", rows)
    words = ("subject", "file", "predicted", "group")
    return [
        {k: v if k in words or v == "" else int(v) if k in ("label", "fold") else float(v) for k, v in row.items()}
        | {"subject": by_file[row["file"]]}
        for row in rows
    ]


def link_maps(output: Path, folders: Iterable[Path]) -> None:
    """The maps of all folds in `maps/`, as links where the file system has them."""
    (output / "maps").mkdir(exist_ok=True)
    for folder in folders:
        for source in sorted((folder / "inference" / "maps").glob("*.nii.gz")):
            target = output / "maps" / source.name
            target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.link(source, target)
            if not target.exists():
                shutil.copy2(source, target)


def note_failures(folders: Iterable[Path], failures: Failures) -> None:
    """Every failure of the folds once, whatever workflows told it."""
    seen = {(f.subject, f.file, f.error) for f in failures.found}
    for folder in folders:
        for table in (folder / "failures.csv", folder / "inference" / "failures.csv"):
            for row in read_csv(table) if table.is_file() else []:
                key = (row["subject"], row["file"], row["error"])
                if key not in seen:
                    seen.add(key)
                    failures.add(*key)


def fold_warnings(folders: Iterable[Path]) -> list[str]:
    """What the evaluation of each fold warns of."""
    found = []
    for folder in folders:
        path = folder / "inference" / "metrics.json"
        metrics: Mapping[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        found += [f"{folder.name}: {warning}" for warning in metrics.get("warnings", [])]
    return found

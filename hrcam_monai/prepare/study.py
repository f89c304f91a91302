"""What `prepare` writes of its subjects into the manifest: labels, splits, covariates, the slices to learn from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrcam_monai.data.manifest import FILES, SPLITS, Failure, ManifestError
from hrcam_monai.data.sidecar import FOLDERS
from hrcam_monai.prepare.inputs import Choice
from hrcam_monai.prepare.labels import order_classes, read_columns, read_labels, split_subjects
from hrcam_monai.prepare.listing import other_values, people_labels

__all__ = ["Enrolled", "Study", "check_study", "enrol", "manifest_of", "unshown"]

logger = logging.getLogger(__name__)
# keys of a manifest entry, and those that inference gives to a subject
RESERVED = {*FILES, "label", "subject", "split", "slices", "roi", "failure", "file", "map_class"}
SHOWING = {FOLDERS[key]: key for key in ("mask", "regions")}  # what slices are chosen by, and its key


@dataclass(frozen=True)
class Study:
    """How the manifest is made.

    Attributes:
        labels: table of labels; participants.tsv of BIDS by default.
        label_column: of that table, see `read_labels`.
        reference: the class that means nothing found, see `order_classes`.
        covariates: other columns of that table to keep, as age.
        slices_from: "masks" or "regions": list the slices that show them, for 2-D networks to learn from.
        split, seed: see `split_subjects`.
    """

    labels: Path | None = None
    label_column: str | None = None
    reference: str | None = None
    covariates: Sequence[str] = ()
    slices_from: str | None = None
    split: Sequence[float] = (4, 1, 1)
    seed: int = 0


@dataclass(frozen=True)
class Enrolled:
    """Those of whom the table gives a label.

    Attributes:
        labels: of each subject.
        covariates: by subject.
        classes: the reference first.
        splits: of each subject.
        slices_from: see `Study`.
        people: whom a file is of, where several may be of one.
    """

    labels: Mapping[str, str]
    covariates: Mapping[str, Mapping[str, Any]]
    classes: Sequence[str]
    splits: Mapping[str, str]
    slices_from: str | None = None
    people: Mapping[str, str] = field(default_factory=dict)


def check_study(study: Study, choice: Choice) -> None:
    """See that the options can be used, before hours of work go by.

    Raises:
        ManifestError: one cannot, or would do nothing.
    """
    places = {"masks": choice.masks, "regions": choice.regions}
    if study.slices_from is not None and not places.get(study.slices_from):
        raise ManifestError(
            f"--slices-from '{study.slices_from}': choose masks or regions, and say where they are with that option."
        )
    for name in map(str.strip, study.covariates):
        if name.lower() in RESERVED or name.startswith("_"):
            raise ManifestError(f"--covariate '{name}': is a key of the manifest itself; rename that column of the table.")


def enrol(study: Study, choice: Choice, subjects: Sequence[str]) -> tuple[Enrolled, list[Failure]]:
    """The subjects that have a label, and those that have none.

    Splits are drawn before any image is read, so that a subject mended later moves no other one.

    Raises:
        ManifestError: no table, one that cannot be used, or one that names none of the subjects.
    """
    if choice.table is not None:
        return _enrol_listed(study, choice, choice.table)
    path = study.labels or (choice.source / "participants.tsv" if choice.bids else None)
    if path is None:
        raise ManifestError(
            f"{choice.source}: DICOM files carry no labels; give a table with the columns subject and label by --labels, "
            "or use --unlabelled to prepare images for inference."
        )

    def folder(name: str) -> str:  # BIDS allows participant_id without its prefix
        return f"sub-{name}" if choice.bids and not name.startswith("sub-") else name

    rows = {folder(s): label for s, label in read_labels(path, study.label_column).items()}
    others = {folder(s): values for s, values in read_columns(path, study.covariates).items()}
    labels = {s: rows[s] for s in subjects if s in rows}
    if not labels:
        raise ManifestError(
            f"{path}: labels none of the subjects {', '.join(subjects[:3])}...; name them as the folders are named."
        )
    if set(rows) - set(subjects):
        logger.warning("%s: %d subject(s) have no folder in %s", path, len(set(rows) - set(subjects)), choice.source)
    classes = _told_classes(labels, study)
    message = f"has no label in {path.name}; add its line, or take the folder away"
    without = [Failure(s, str(path), message) for s in subjects if s not in labels]
    splits = split_subjects(labels, study.split, study.seed)
    covariates = {s: others.get(s, {}) for s in labels}
    return Enrolled(labels, covariates, classes, splits, study.slices_from), without


def _enrol_listed(study: Study, choice: Choice, table: Path) -> tuple[Enrolled, list[Failure]]:
    """The files of a table that have a label; people are split, never their files."""
    listed = {name: line for name, line in choice.listing[0].items() if line.label}
    labels = {name: str(line.label) for name, line in listed.items()}
    without = [
        Failure(name, str(table), f"{line.file.name} has no label; complete its line")
        for name, line in choice.listing[0].items()
        if name not in listed
    ]
    if not listed:
        raise ManifestError(f"{table}: gives no label; choose the column with --label-column, or use --unlabelled.")
    classes = _told_classes(labels, study)
    people = {name: line.subject for name, line in listed.items()}
    given = {line.subject: line.split for line in listed.values() if line.split}
    torn = sorted({line.subject for line in listed.values() if line.split != given.get(line.subject)})
    if torn:
        raise ManifestError(f"{table}: '{torn[0]}' is in several folds or in none; keep all files of a person in one.")
    by_person = given or split_subjects(people_labels(listed), study.split, study.seed)
    splits = {name: by_person[person] for name, person in people.items()}
    covariates = {name: other_values(table, line, study.covariates) for name, line in listed.items()}
    return Enrolled(labels, covariates, classes, splits, study.slices_from, people), without


def _told_classes(labels: Mapping[str, str], study: Study) -> list[str]:
    classes = order_classes(labels.values(), study.reference)
    logger.info("classes: %s (reference), %s", classes[0], ", ".join(classes[1:]))
    return classes


def unshown(records: Sequence[Mapping[str, Any]], enrolled: Enrolled) -> list[Failure]:
    """Subjects whose regions show nothing to choose slices by; those without a mask are told, for they have none to have."""
    if enrolled.slices_from is None:
        return []
    without = [r["subject"] for r in records if not r["slices"].get(SHOWING[enrolled.slices_from])]
    if enrolled.slices_from == "regions":
        message = "its regions hold no label of 2 or above to choose slices by; draw them, or leave --slices-from out"
        return [Failure(s, f"{s}.nii.gz", message) for s in without]
    for label, count in sorted(Counter(enrolled.labels[s] for s in without).items()):
        logger.warning("%d subject(s) of class %s have no mask: a 2-D network trains on all of their slices", count, label)
    return []


def manifest_of(records: Sequence[Mapping[str, Any]], enrolled: Enrolled, name: str) -> dict[str, Any]:
    """The manifest (data_manifests/README.md) of what was made.

    Args:
        records: the subjects' sidecars.
        enrolled: their labels and the rest.
        name: of the study.
    """
    sections: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record in records:
        subject = record["subject"]
        files = {key: f"{FOLDERS[key]}/{subject}{record.get('suffix', '.nii.gz')}" for key in record["outputs"] if key in FILES}
        person = enrolled.people.get(subject, subject)
        entry = {**enrolled.covariates[subject], **files, "label": enrolled.labels[subject], "subject": person}
        if record["roi"] is not None:
            entry["roi"] = record["roi"]
        slices = record["slices"].get(SHOWING.get(enrolled.slices_from or ""))
        if slices:
            entry["slices"] = slices
        sections[enrolled.splits[subject]].append(entry)
    return {"name": name, "classes": list(enrolled.classes), **sections}

"""`python -m hrcam_monai prepare`: from a folder of DICOM or BIDS to images, sidecars and a manifest."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hrcam_monai.data.failures import Failures
from hrcam_monai.data.inputs import Choice, find_subjects
from hrcam_monai.data.itk_images import one_thread
from hrcam_monai.data.labels import order_classes, read_columns, read_labels, split_subjects
from hrcam_monai.data.manifest import FILES, SPLITS, Failure, ManifestError, load_manifest
from hrcam_monai.data.prepare_subject import FOLDERS, discard, try_subject
from hrcam_monai.data.registration import MODES
from hrcam_monai.data.steps import Steps
from hrcam_monai.data.writing import write_json
from hrcam_monai.environment import cpu_cores

logger = logging.getLogger(__name__)
FARTHEST = 130.0  # mm from the origin that a point of the template may lie along an axis
# keys of a manifest entry, and those that inference gives to a subject
RESERVED = {*FILES, "label", "subject", "split", "slices", "roi", "failure", "file", "map_class"}


def prepare(
    source: str | Path,
    output: str | Path,
    steps: Steps | None = None,
    *,
    series: str | None = None,
    suffix: str = "T1w",
    match: str | None = None,
    labels: Path | None = None,
    label_column: str | None = None,
    reference: str | None = None,
    unlabelled: bool = False,
    brain_masks: str | None = None,
    masks: str | None = None,
    regions: str | None = None,
    slices_from: str | None = None,
    covariates: Sequence[str] = (),
    split: Sequence[float] = (4, 1, 1),
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Write images, label images and `manifest.json` into `output`; a second call does only what is missing or has changed.

    Args:
        source: BIDS folder, or one with a sub-folder of DICOM a subject.
        output: folder, made if needed.
        steps: what is done to each image.
        series, suffix, match, brain_masks, masks, regions: how files are chosen, see `inputs.Choice`.
        labels, label_column: table of labels; participants.tsv of BIDS by default.
        slices_from: "masks" or "regions": list the slices that show them, for 2-D networks to learn from.
        covariates: other columns of that table for the manifest, as age.
        reference: the class that means nothing found.
        unlabelled: only images, no manifest: for inference.
        split, seed: see `labels.split_subjects`.
        workers: processes; by default one a core.

    Returns:
        path of the manifest, or of the folder of images if unlabelled.

    Raises:
        ManifestError: the source or its labels cannot be used at all, or an option is wrong.
        SystemExit: status 1 at the end, if a subject could not be prepared; see failures.csv.
    """
    root, out, steps = Path(source).expanduser().absolute(), Path(output).absolute(), steps or Steps()
    check_options(steps, series, match)
    places = {"brain-masks": brain_masks, "masks": masks, "regions": regions}
    check_manifest_options(places, slices_from, covariates, unlabelled)
    if out.resolve().is_relative_to(root.resolve()):
        raise ManifestError(f"{out}: lies in the source; choose an --output outside {root}.")
    bids, subjects = find_subjects(root)
    choice = Choice(root, bids, series, suffix, match, brain_masks, masks, regions)
    known = [
        Failure(s, str(root / s), f"cannot name a file: '{s}'; use letters, digits, '_', '-' and '.'")
        for s in subjects
        if not re.fullmatch(r"\w[\w .-]*", s)
    ]
    subjects = [s for s in subjects if s not in {f.subject for f in known}]
    named: dict[str, str] = {}
    if not unlabelled:
        named, others, without = labels_of(choice, subjects, labels, label_column, covariates)
        known += without
        subjects = sorted(named)
        classes = order_classes(named.values(), reference)
        # before any failure, so that a subject mended later moves no other one
        splits = split_subjects(named, split, seed)
        logger.info("classes: %s (reference), %s", classes[0], ", ".join(classes[1:]))
    for folder in FOLDERS.values():
        (out / folder).mkdir(parents=True, exist_ok=True)
    failures = Failures(out, known)
    records = run(partial(try_subject, choice, steps, out), subjects, workers, failures)
    useless = repeated(records) + ([] if unlabelled else unshown(records, named, slices_from))
    for failure in useless:
        discard(out, failure.subject)
        failures.add(failure.subject, failure.file, failure.error)
    records = [r for r in records if r["subject"] not in {f.subject for f in useless}]
    tell(records)
    path = out / "images"
    if not unlabelled:
        path = out / "manifest.json"
        path.unlink(missing_ok=True)
        if records:
            write_json(manifest_of(records, named, others, classes, splits, root.name, slices_from), path)
            load_manifest(path, strict=True)
    failures.finish()
    return path


def iterations_of(text: str) -> tuple[int, ...]:
    """The numbers of iterations of N4, from "50,50,50,50".

    Raises:
        ManifestError: not whole numbers.
    """
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ManifestError(f"--iterations '{text}': give whole numbers with commas between, as 50,50,50,50.") from None


def check_options(steps: Steps, series: str | None, match: str | None) -> None:
    """See that options can be used, before hours of work go by.

    Raises:
        ManifestError: one cannot.
    """
    if steps.register not in MODES:
        raise ManifestError(f"--register '{steps.register}': choose one of {', '.join(MODES)}.")
    if steps.roi is not None and not (np.isfinite(steps.roi).all() and np.abs(steps.roi).max() < FARTHEST):
        raise ManifestError(f"--roi {' '.join(map(str, steps.roi))}: lies outside the template; give MNI coordinates, mm.")
    if not steps.iterations or min(steps.iterations) < 1:
        raise ManifestError("--iterations: give one or more numbers above 0, a level of the field each.")
    for option, pattern in (("--series", series), ("--match", match)):
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ManifestError(f"{option} '{pattern}': is no regular expression ({error}).") from None


def check_manifest_options(
    places: Mapping[str, str | None], slices_from: str | None, covariates: Sequence[str], unlabelled: bool
) -> None:
    """The same for what goes into the manifest.

    Raises:
        ManifestError: an option cannot be used, or would do nothing.
    """
    for option, place in places.items():
        if place and not any(c in place for c in "{*?[") and not Path(place).is_dir():
            raise ManifestError(f"--{option} {place}: no such folder; give one, or a pattern with {{subject}}.")
    if slices_from is not None and (slices_from not in ("masks", "regions") or not places[slices_from]):
        raise ManifestError(f"--slices-from '{slices_from}': choose masks or regions, and say where they are with that option.")
    if unlabelled and (slices_from or covariates):
        raise ManifestError("--slices-from and --covariate go into the manifest, and --unlabelled writes none; leave them out.")
    for name in map(str.strip, covariates):
        if name.lower() in RESERVED or name.startswith("_"):
            raise ManifestError(f"--covariate '{name}': is a key of the manifest itself; rename that column of the table.")


def unshown(records: Sequence[Mapping[str, Any]], labels: Mapping[str, str], slices_from: str | None) -> list[Failure]:
    """Subjects whose regions show nothing to choose slices by; those without a mask are told, for they have none to have."""
    key = {"masks": "mask", "regions": "regions"}.get(slices_from or "")
    without = [r["subject"] for r in records if key and not r["slices"].get(key)]
    if key == "regions":
        message = "its regions hold no label of 2 or above to choose slices by; draw them, or leave --slices-from out"
        return [Failure(s, f"{s}.nii.gz", message) for s in without]
    for label, count in sorted(Counter(labels[s] for s in without).items()):
        logger.warning("%d subject(s) of class %s have no mask: a 2-D network trains on all of their slices", count, label)
    return []


def labels_of(
    choice: Choice, subjects: Sequence[str], table: Path | None, column: str | None, covariates: Sequence[str]
) -> tuple[dict[str, str], dict[str, dict[str, Any]], list[Failure]]:
    """The label of each subject, other columns of the table, and the subjects without a label.

    Raises:
        ManifestError: no table, one that cannot be used, or one that names none of the subjects.
    """
    path = table or (choice.source / "participants.tsv" if choice.bids else None)
    if path is None:
        raise ManifestError(
            f"{choice.source}: DICOM files carry no labels; give a table with the columns subject and label by --labels, "
            "or use --unlabelled to prepare images for inference."
        )
    named = lambda s: s if s.startswith("sub-") or not choice.bids else f"sub-{s}"  # noqa: E731
    rows = {named(s): label for s, label in read_labels(path, column).items()}
    others = {named(s): values for s, values in read_columns(path, covariates).items()}
    labels = {s: rows[s] for s in subjects if s in rows}
    if not labels:
        raise ManifestError(
            f"{path}: labels none of the subjects {', '.join(subjects[:3])}...; name them as the folders are named."
        )
    if set(rows) - set(subjects):
        logger.warning("%s: %d subject(s) have no folder in %s", path, len(set(rows) - set(subjects)), choice.source)
    message = f"has no label in {path.name}; add its line, or take the folder away"
    return labels, others, [Failure(s, str(path), message) for s in subjects if s not in labels]


def run(job: Any, subjects: Sequence[str], workers: int | None, failures: Failures) -> list[dict[str, Any]]:
    """The records of all subjects that could be prepared, in the subjects' order; the others are noted.

    Raises:
        RuntimeError: a process was killed, mostly for want of memory.
    """
    records = []
    try:
        with ProcessPoolExecutor(workers or cpu_cores(), initializer=one_thread) as pool, logging_redirect_tqdm():
            for made in tqdm(pool.map(job, subjects), total=len(subjects), desc="prepare", unit="subject"):
                if isinstance(made, Failure):
                    failures.add(made.subject, made.file, made.error)
                else:
                    records.append(made)
    except BrokenProcessPool:
        raise RuntimeError(
            "a worker was killed, perhaps for want of memory; run again with fewer --workers: what is done stays done."
        ) from None
    return records


def repeated(records: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """Subjects with the very same voxels: one of them is another's, and no one can tell here which."""
    by_voxels: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_voxels[record["voxels"]].append(record["subject"])
    return [
        Failure(s, f"{s}.nii.gz", f"has the same image as {', '.join(o for o in group if o != s)}; remove what is a copy")
        for group in by_voxels.values()
        if len(group) > 1
        for s in group
    ]


def manifest_of(
    records: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    others: Mapping[str, Mapping[str, Any]],
    classes: Sequence[str],
    splits: Mapping[str, str],
    name: str,
    slices_from: str | None,
) -> dict[str, Any]:
    """The manifest (data_manifests/README.md) of what was made."""
    shown_by = {"masks": "mask", "regions": "regions"}.get(slices_from or "", "")
    sections: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record in records:
        subject = record["subject"]
        files = {key: f"{FOLDERS[key]}/{subject}.nii.gz" for key in record["outputs"]}
        entry = {**others.get(subject, {}), **files, "label": labels[subject], "subject": subject}
        if record["roi"] is not None:
            entry["roi"] = record["roi"]
        if record["slices"].get(shown_by):
            entry["slices"] = record["slices"][shown_by]
        sections[splits[subject]].append(entry)
    return {"name": name, "classes": list(classes), **sections}


def tell(records: Sequence[Mapping[str, Any]]) -> None:
    """Remarks, and the registrations to look at first."""
    for record in records:
        if record["remark"]:
            logger.warning("%s %s", record["subject"], record["remark"])
    skulls = sum(r["skull"] for r in records)
    if skulls:
        logger.warning("%d image(s) hold a skull; the networks here are made for brains", skulls)
    fits = sorted((r["similarity"], r["subject"]) for r in records if r["similarity"] is not None)
    if fits:
        logger.info("look first at the registrations that fit least: %s", ", ".join(f"{s} ({v:.3f})" for v, s in fits[:3]))

"""`python -m hrcam_monai prepare`: from DICOM, BIDS or files that a table lists to images, sidecars and a manifest."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from operator import call
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hrcam_monai.brain import STRIP, check_tool
from hrcam_monai.data.failures import Failures
from hrcam_monai.data.itk_images import one_thread
from hrcam_monai.data.manifest import Failure, ManifestError, load_manifest
from hrcam_monai.data.names import UNNAMEABLE, names_files
from hrcam_monai.data.sidecar import FOLDERS
from hrcam_monai.prepare.inputs import Choice, check_choice, find_subjects
from hrcam_monai.prepare.registration import MODES
from hrcam_monai.prepare.steps import Steps
from hrcam_monai.prepare.study import Enrolled, Study, check_study, enrol, manifest_of, unshown
from hrcam_monai.prepare.subject import discard, try_subject
from hrcam_monai.utils.environment import cpu_cores
from hrcam_monai.utils.files import write_json

__all__ = ["iterations_of", "log_records", "prepare_cohort", "repeated", "run"]

logger = logging.getLogger(__name__)
FARTHEST = 130.0  # mm from the origin that a point of the template may lie along an axis


def prepare_cohort(choice: Choice, output: str | Path, steps: Steps, study: Study | None, workers: int | None = None) -> Path:
    """Write images, label images and `manifest.json` into `output`; a second call does only what is missing or has changed.

    Args:
        choice: the source, and which of its files.
        output: folder, made if needed.
        steps: what is done to each image.
        study: what the manifest says; None for images only, without one: for inference.
        workers: processes; by default one a core.

    Returns:
        path of the manifest, or of the folder of images if there is no study.

    Raises:
        ManifestError: the source or its labels cannot be used at all, or an option is wrong.
        SystemExit: status 1 at the end, if a subject could not be prepared; see failures.csv.

    Example:
        >>> manifest = prepare_cohort(Choice(Path("my_bids"), match="ce-gd"), "my_study", Steps(), Study())  # doctest: +SKIP
    """
    choice, out = replace(choice, source=choice.source.expanduser().absolute()), Path(output).absolute()
    _check_steps(steps)
    check_choice(choice)
    if study is not None:
        check_study(study, choice)
    if out.resolve().is_relative_to(choice.source.resolve()):
        raise ManifestError(f"{out}: lies in the source; choose an --output outside {choice.source}.")
    subjects, known = _nameable(choice)
    enrolled: Enrolled | None = None
    if study is not None:
        enrolled, without = enrol(study, choice, subjects)
        known += without
        subjects = sorted(enrolled.labels)
    for folder in FOLDERS.values():
        (out / folder).mkdir(parents=True, exist_ok=True)
    failures = Failures(out, known=known)
    records = run([partial(try_subject, choice.of(s), steps, out, s) for s in subjects], workers, failures)
    useless = repeated(records)
    if enrolled is not None:
        useless += unshown(records, enrolled)
    for failure in useless:
        discard(out, failure.subject)
        failures.add(failure.subject, failure.file, failure.error)
    records = [r for r in records if r["subject"] not in {f.subject for f in useless}]
    log_records(records)
    path = out / "images"
    if enrolled is not None:
        path = out / "manifest.json"
        path.unlink(missing_ok=True)
        if records:
            write_json(manifest_of(records, enrolled, choice.source.name), path)
            load_manifest(path, strict=True)
    failures.finish()
    return path


def _nameable(choice: Choice) -> tuple[list[str], list[Failure]]:
    """The source's subjects, and those whose names cannot be those of files."""
    subjects = find_subjects(choice)
    if choice.table is not None:
        return subjects, list(choice.listing[1])
    odd = [s for s in subjects if not names_files(s)]
    return [s for s in subjects if s not in odd], [Failure(s, str(choice.source / s), f"'{s}' {UNNAMEABLE}") for s in odd]


def iterations_of(text: str) -> tuple[int, ...]:
    """The numbers of iterations of N4, from "50,50,50,50".

    Raises:
        ManifestError: not whole numbers.
    """
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ManifestError(f"--iterations '{text}': give whole numbers with commas between, as 50,50,50,50.") from None


def _check_steps(steps: Steps) -> None:
    """See that the steps can be done, before hours of work go by.

    Raises:
        ManifestError: one cannot.
    """
    if steps.strip not in STRIP:
        raise ManifestError(f"--strip '{steps.strip}': choose one of {', '.join(STRIP)}.")
    if steps.strip != "never":
        try:
            check_tool(steps.strip_tool)
        except (ValueError, ImportError) as error:
            raise ManifestError(str(error)) from None
    if steps.register not in MODES:
        raise ManifestError(f"--register '{steps.register}': choose one of {', '.join(MODES)}.")
    if steps.roi is not None and not (np.isfinite(steps.roi).all() and np.abs(steps.roi).max() < FARTHEST):
        raise ManifestError(f"--roi {' '.join(map(str, steps.roi))}: lies outside the template; give MNI coordinates, mm.")
    if not steps.iterations or min(steps.iterations) < 1:
        raise ManifestError("--iterations: give one or more numbers above 0, a level of the field each.")


def run(jobs: Sequence[Callable[[], Any]], workers: int | None, failures: Failures) -> list[dict[str, Any]]:
    """The records that the jobs make, a subject each, in their order; those of subjects that failed are noted.

    Raises:
        RuntimeError: a process was killed, mostly for want of memory.
    """
    records = []
    try:
        with ProcessPoolExecutor(workers or cpu_cores(), initializer=one_thread) as pool, logging_redirect_tqdm():
            for made in tqdm(pool.map(call, jobs), total=len(jobs), desc="prepare", unit="subject"):
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


def log_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Remarks, and the registrations to look at first."""
    for record in records:
        if record["remark"]:
            logger.warning("%s %s", record["subject"], record["remark"])
    skulls = sum(r["skull"] for r in records)
    if skulls:
        logger.warning("%d image(s) hold a skull; the networks here are made for brains", skulls)
    cut = sorted((r["brain_litres"], r["subject"]) for r in records if r["brain_litres"] is not None)
    if cut:
        ends = ", ".join(f"{s} ({v:.2f} l)" for v, s in dict.fromkeys((cut[0], cut[-1])))
        logger.info(
            "%d brain(s) cut out of their heads, masks in brains/; look first at the smallest and largest: %s", len(cut), ends
        )
    fits = sorted((r["similarity"], r["subject"]) for r in records if r["similarity"] is not None)
    if fits:
        logger.info("look first at the registrations that fit least: %s", ", ".join(f"{s} ({v:.3f})" for v, s in fits[:3]))

"""The baselines over a cohort: read each image once, then fit and predict on the network's folds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from hrcam_monai.cross_validation.baselines import BASELINES, out_of_fold
from hrcam_monai.data.failures import Failures, reason

__all__ = ["run_baselines"]

logger = logging.getLogger(__name__)
Row = dict[str, Any]
Preprocessing = Callable[[Row], Mapping[str, Any]]


def _suited(entries: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """The baselines whose keys all entries have, and why others are left out; those that nobody prepared go unsaid."""
    chosen, left_out = [], {}
    for name, baseline in BASELINES.items():
        without = [e["subject"] for e in entries if any(not e.get(key) for key in baseline.keys)]
        if not without:
            chosen.append(name)
        elif len(without) < len(entries):
            keys = ", ".join(baseline.keys)
            left_out[name] = f"{len(without)} images have no {keys} in the manifest (first: {without[0]}); give it to all."
    return chosen, left_out


def _read_features(
    entries: Sequence[Row], preprocessing: Preprocessing, names: Sequence[str], failures: Failures
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Baseline -> subject -> features of each of its images; what cannot be read is noted, and costs only itself."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in names}
    known = {failure.file for failure in failures.found}
    for entry in tqdm(entries, desc="baselines", unit="image"):
        if entry["image"] in known:  # the network's workflows could not read it either
            continue
        try:
            item = preprocessing({k: v for k, v in entry.items() if k != "mask"})  # as for inference, which has none
            for name in names:
                numbers = BASELINES[name].features(item)
                found[name].setdefault(entry["subject"], []).append(numbers)
        except Exception as error:
            failures.add(entry["subject"], entry["image"], error)
    return found


def _baseline_rows(
    features: Mapping[str, Sequence[Mapping[str, float]]],
    labels: Mapping[str, int],
    held_out: Mapping[str, int],
    classes: Sequence[str],
) -> list[Row]:
    """Out-of-fold predictions of one baseline, a subject each, as `predictions.csv` holds the network's.

    Args:
        features: of each subject, those of its images; their mean counts.
        labels: of each subject.
        held_out: the fold in which each subject is.
        classes: names.

    Raises:
        ValueError: features that are not the same, or not finite.
    """
    subjects = sorted(features)
    names = list(features[subjects[0]][0]) if subjects else []
    table = [np.mean([[image[name] for name in names] for image in features[s]], axis=0) for s in subjects]
    broken = [s for s, line in zip(subjects, table, strict=True) if not np.isfinite(line).all()]
    if broken:
        raise ValueError(f"{len(broken)} subjects have features that are no numbers (first: {broken[0]}); look at their regions.")
    folds = np.array([held_out[s] for s in subjects])
    truth = np.array([labels[s] for s in subjects])
    scores = out_of_fold(np.array(table), truth, folds, len(classes))
    return [
        {"subject": s, "fold": int(fold), "label": classes[label], "predicted": classes[int(p.argmax())]}
        | {f"probability_{c}": float(v) for c, v in zip(classes, p, strict=True)}
        | dict(zip(names, map(float, numbers), strict=True))
        for s, fold, label, p, numbers in zip(subjects, folds, truth, scores, table, strict=True)
    ]


def run_baselines(
    entries: Sequence[Row],
    preprocessing: Preprocessing,
    labels: Mapping[str, int],
    held_out: Mapping[str, int],
    classes: Sequence[str],
    failures: Failures,
) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Rows of each baseline that suits the cohort, and why others are left out; one that fails costs only itself."""
    names, left_out = _suited(entries)
    rows = {}
    for name, features in _read_features(entries, preprocessing, names, failures).items():
        try:
            rows[name] = _baseline_rows(features, labels, held_out, classes)
        except Exception as error:  # a user's own baseline may throw whatever it likes
            left_out[name] = reason(error)
            logger.warning("baseline '%s' left out: %s", name, left_out[name])
    return {name: own for name, own in rows.items() if own}, left_out

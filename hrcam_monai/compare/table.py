"""The table of a comparison: means and intervals by method and group, from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hrcam_monai.metrics.classification import bootstrap_interval, roc_auc
from hrcam_monai.metrics.cohort import mean_scores, told_from
from hrcam_monai.metrics.detection import LesionDetection
from hrcam_monai.metrics.measures import SHOWN, cells, columns
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.tables import interval, table

__all__ = ["comparison_summary", "froc_score", "markdown", "numbers"]

ALL = "all"


def numbers(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """One column of rows, from this run or read from a file; NaN where it is empty."""
    return np.array([float(r[key]) if r.get(key, "") not in ("", None) else np.nan for r in rows])


def froc_score(rows: Sequence[Mapping[str, Any]]) -> float:
    """Mean sensitivity at 0.25 to 4 false peaks a scan."""
    detection = LesionDetection()
    detection.wrong = [np.array(str(r["false_peaks"]).split(), dtype=float) for r in rows]
    detection.hit = [np.array(str(r["lesion_peaks"]).split(), dtype=float) for r in rows]
    return detection.aggregate().score


def comparison_summary(
    rows: Sequence[Mapping[str, Any]],
    classes: Classes,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Lines of classification by network and of localisation by method, each over all subjects and by group.

    Of several scans of a subject their mean counts. Intervals are 95 % bootstrap intervals over subjects. What a group is
    told from: see `told_from`.
    """
    groups = sorted({r["group"] for r in rows if r["method"] and r["group"]})
    found = [*groups, ALL] if len(groups) > 1 else [ALL]
    return {
        "classes": list(classes),
        "classification": [
            _classification(rows, network, group, samples, seed, classes)
            for network in dict.fromkeys(r["network"] for r in rows)
            for group in found
        ],
        "localization": [
            _localization(rows, method, group, samples, seed)
            for method in dict.fromkeys(r["method"] for r in rows if r["method"])
            for group in found
        ],
    }


def _classification(
    rows: Sequence[Mapping[str, Any]], network: str, group: str, samples: int, seed: int, classes: Classes
) -> dict[str, Any]:
    """How well a network tells the group's subjects from the others."""
    own: Sequence[Mapping[str, Any]] = [r for r in rows if r["network"] == network and not r["method"]]
    own = own if group == ALL else told_from(own, group, classes)
    labels, scores = numbers(own, "label").astype(int).clip(0, 1), numbers(own, "probability")
    pairs, names = np.stack([1 - scores, scores], 1), np.array([str(r["subject"]) for r in own])
    ends = bootstrap_interval(roc_auc, labels, pairs, samples=samples, seed=seed, subjects=names)
    found = {"network": network, "group": group, "subjects": len(set(names)), "scans": len(own)}
    return found | {"auc": roc_auc(labels, pairs), "auc_ci95": list(ends)}


def _localization(rows: Sequence[Mapping[str, Any]], method: str, group: str, samples: int, seed: int) -> dict[str, Any]:
    own = [r for r in rows if r["method"] == method and group in (ALL, r["group"])]
    line: dict[str, Any] = {"method": method, "group": group, "subjects": len({r["subject"] for r in own}), "scans": len(own)}
    return line | mean_scores(own, SHOWN, samples, seed) | {"froc": froc_score(own)}


def markdown(summary: Mapping[str, Any]) -> str:
    """The comparison as Markdown tables, the notes below."""
    shown = columns(summary["localization"])
    head = ["method", "group", "n", *[measure.title for measure in shown.values()], "FROC"]
    rows = [
        [line["method"], line["group"], str(line["subjects"]), *cells(line, shown), f"{line['froc']:.2f}"]
        for line in summary["localization"]
    ]
    lines = [[x["network"], x["group"], str(x["subjects"]), interval(x, "auc")] for x in summary["classification"]]
    text = table(head, rows) + table(["network", "group", "n", "AUC"], lines)
    text += [f"- {name}: {note}." for name, note in summary.get("notes", {}).items()]
    text += [f"- Left out: {name}: {why}" for name, why in summary.get("left_out", {}).items()]
    return "\n".join(text).rstrip() + "\n"

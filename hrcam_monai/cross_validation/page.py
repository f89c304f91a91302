"""`cross_validation.md`: the numbers of a cross-validation, to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hrcam_monai.metrics.measures import CLASSIFICATION, cells, columns
from hrcam_monai.utils.tables import interval, table

__all__ = ["markdown"]


def markdown(summary: Mapping[str, Any]) -> str:
    """The page: predictions, differences to the baselines, folds, localisation, and what was left out."""
    lines = {"network": summary["network"], **summary["baselines"]}
    folds = sorted({k for line in lines.values() for k in line["folds"]})
    failed = summary.get("failed_folds", {})
    count = f"{len(summary['network']['folds'])} of {len(folds)} folds" if failed else f"{len(folds)} folds"
    text = [f"# Cross-validation, {summary['network']['subjects']} subjects, {count}", ""]
    text += [f"- **{name} is missing**: {why}" for name, why in failed.items()] + ([""] if failed else [])
    text += table(
        ["", "n", *[measure.title for measure in CLASSIFICATION.values()], "mean AUC of folds", "p of AUC"],
        [
            [
                *(name, str(line["subjects"]), *cells(line, CLASSIFICATION)),
                *(f"{line['mean_fold_auc']:.3f}", f"{line['permutation_p']:.4f}"),
            ]
            for name, line in lines.items()
        ],
    )
    tried = summary["network"]["permutations"]
    text += [
        "Out-of-fold predictions, pooled; in brackets 95 % bootstrap intervals over subjects. "
        f"p: one-sided, {tried} permutations of the labels within folds. "
        "Intervals hold the subjects' chance, not that of training again.",
        "",
    ]
    if summary["baselines"]:
        text += ["## Network less baseline", ""]
        pairs = {name: line["network_less_baseline"] for name, line in summary["baselines"].items()}
        text += table(
            ["baseline", "n", "difference of AUC"],
            [[name, str(pair["subjects"]), interval(pair, "difference")] for name, pair in pairs.items()],
        )
        text += ["Paired: network and baseline on the same subjects in every draw.", ""]
    text += ["## AUC of each fold", ""]
    text += table(
        ["", *map(str, folds)],
        [
            [name, *[f"{own[k]:.3f}" if k in own else "missing" for k in folds]]
            for name, line in lines.items()
            for own in [dict(zip(line["folds"], line["fold_auc"], strict=True))]
        ],
    )
    found = summary.get("localization", {})
    if found.get("subjects_with_mask"):
        text += [f"## Out-of-fold maps against {found['subjects_with_mask']} masks", ""]
        shown = columns([found])
        text += table([measure.title for measure in shown.values()], [cells(found, shown)])
    text += [f"- {name}: {note}." for name, note in summary.get("notes", {}).items()]
    text += [f"- Left out: {name}: {why}" for name, why in summary.get("left_out", {}).items()]
    text += [f"- Warning: {warning}" for warning in summary.get("warnings", [])]
    return "\n".join(text).rstrip() + "\n"

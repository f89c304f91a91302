"""Every measure by its name in tables and files: what it is called for a reader, and with how many digits it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hrcam_monai.utils.tables import interval

__all__ = ["CLASSIFICATION", "FAITHFULNESS", "LOCALIZATION", "MEANS", "OF_MAPS", "SHOWN", "SIDES", "cells", "columns"]


@dataclass(frozen=True)
class _Measure:
    """How a measure is told.

    Attributes:
        title: head of a column.
        digits: after the point.
        told: in a figure; the title by default.
    """

    title: str
    digits: int = 3
    told: str = ""


CLASSIFICATION = {  # of probabilities and labels, see `hrcam_monai.metrics.classification`
    "auc": _Measure("AUC"),
    "accuracy": _Measure("accuracy"),
    "balanced_accuracy": _Measure("balanced accuracy"),
    "sensitivity": _Measure("sensitivity"),
    "specificity": _Measure("specificity"),
}
LOCALIZATION = {  # of a map and a mask, see `hrcam_monai.metrics.localization`
    "pixel_ap": _Measure("pixel AP", told="pixel average precision"),
    "best_dice": _Measure("best Dice"),
    "best_iou": _Measure("best IoU"),
    "fixed_dice": _Measure("Dice at half"),
    "pointing": _Measure("pointing", 2, "pointing game"),
    "peak_distance_mm": _Measure("peak off, mm", 1),
    "energy": _Measure("energy", told="energy inside the mask"),
}
SIDES = {  # of subjects with labelled regions, see `hrcam_monai.metrics.laterality`
    "laterality": _Measure("laterality", 2),
    "same_side": _Measure("same side", 2),
}
FAITHFULNESS = {  # of a map and the network that it is of, see `hrcam_monai.metrics.faithfulness`
    "deletion_auc": _Measure("deletion AUC"),
    "insertion_auc": _Measure("insertion AUC"),
}
OF_MAPS = {**LOCALIZATION, **SIDES, **FAITHFULNESS}
MEANS = tuple(key for key in OF_MAPS if key != "laterality")  # whose mean over subjects tells something: sides cancel out
SHOWN = tuple(key for key in MEANS if key != "best_iou")  # in pages; best IoU says what best Dice says


def columns(lines: Iterable[Mapping[str, Any]]) -> dict[str, _Measure]:
    """The measures to show of lines of numbers: those of `SHOWN` that any line has.

    Example:
        >>> [m.title for m in columns([{"energy": 0.5}, {"pixel_ap": 0.25}]).values()]
        ['pixel AP', 'energy']
    """
    held = {key for line in lines for key in line}
    return {key: OF_MAPS[key] for key in SHOWN if key in held}


def cells(line: Mapping[str, Any], shown: Mapping[str, _Measure]) -> list[str]:
    """Values of a line with their intervals.

    Example:
        >>> cells({"pointing": 0.5, "pointing_ci95": [0.25, 0.75]}, columns([{"pointing": 0.5}]))
        ['0.50 [0.25, 0.75]']
    """
    return [interval(line, key, measure.digits) for key, measure in shown.items()]

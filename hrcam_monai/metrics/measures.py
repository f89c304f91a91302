"""Every measure by its name in tables and files: what it is called for a reader, and with how many digits it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrcam_monai.utils.tables import interval

__all__ = ["CLASSIFICATION", "FAITHFULNESS", "LOCALIZATION", "MEANS", "OF_MAPS", "SHOWN", "SIDES", "Measure", "cells", "columns"]


@dataclass(frozen=True)
class Measure:
    """How a measure is told.

    Attributes:
        title: head of a column.
        digits: after the point.
        told: in a figure; the title by default.
        of: measures a map and its mask, [*spatial] each; None for those that `localization_scores` and others measure.
    """

    title: str
    digits: int = 3
    told: str = ""
    of: Callable[[np.ndarray, np.ndarray], float] | None = None


CLASSIFICATION = {  # of probabilities and labels, see `hrcam_monai.metrics.classification`
    "auc": Measure("AUC"),
    "accuracy": Measure("accuracy"),
    "balanced_accuracy": Measure("balanced accuracy"),
    "sensitivity": Measure("sensitivity"),
    "specificity": Measure("specificity"),
    "brier": Measure("Brier score"),
    "calibration_error": Measure("calibration error"),
}
# of a map and a mask; to add one, write a function above and name it here with `of` (the others: `metrics.localization`)
LOCALIZATION = {
    "pixel_ap": Measure("pixel AP", told="pixel average precision"),
    "best_dice": Measure("best Dice"),
    "best_iou": Measure("best IoU"),
    "fixed_dice": Measure("Dice at half"),
    "pointing": Measure("pointing", 2, "pointing game"),
    "peak_distance_mm": Measure("peak off, mm", 1),
    "energy": Measure("energy", told="energy inside the mask"),
}
SIDES = {  # of subjects with labelled regions, see `hrcam_monai.metrics.laterality`
    "laterality": Measure("laterality", 2),
    "same_side": Measure("same side", 2),
}
FAITHFULNESS = {  # of a map and the network that it is of, see `hrcam_monai.metrics.faithfulness`
    "deletion_auc": Measure("deletion AUC"),
    "insertion_auc": Measure("insertion AUC"),
}
OF_MAPS = {**LOCALIZATION, **SIDES, **FAITHFULNESS}
MEANS = tuple(key for key in OF_MAPS if key != "laterality")  # whose mean over subjects tells something: sides cancel out
SHOWN = tuple(key for key in MEANS if key != "best_iou")  # in pages; best IoU says what best Dice says


def columns(lines: Iterable[Mapping[str, Any]]) -> dict[str, Measure]:
    """The measures to show of lines of numbers: those of `SHOWN` that any line has.

    Example:
        >>> [m.title for m in columns([{"energy": 0.5}, {"pixel_ap": 0.25}]).values()]
        ['pixel AP', 'energy']
    """
    held = {key for line in lines for key in line}
    return {key: OF_MAPS[key] for key in SHOWN if key in held}


def cells(line: Mapping[str, Any], shown: Mapping[str, Measure]) -> list[str]:
    """Values of a line with their intervals.

    Example:
        >>> cells({"pointing": 0.5, "pointing_ci95": [0.25, 0.75]}, columns([{"pointing": 0.5}]))
        ['0.50 [0.25, 0.75]']
    """
    return [interval(line, key, measure.digits) for key, measure in shown.items()]

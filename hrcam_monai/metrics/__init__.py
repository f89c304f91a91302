"""Metrics: classification, localisation, laterality, detection, faithfulness, randomisation and displacement."""

from hrcam_monai.metrics.classification import auc_or_chance, bootstrap_interval, classification_summary, roc_auc
from hrcam_monai.metrics.cohort import SubjectMetric, Summary, finding_groups, summarize, told_from
from hrcam_monai.metrics.detection import FROC, LesionDetection
from hrcam_monai.metrics.displacement import Displacement, displacement_warning, map_shift
from hrcam_monai.metrics.faithfulness import blurred, completeness_error, deletion_insertion, stability
from hrcam_monai.metrics.laterality import laterality_index, same_side
from hrcam_monai.metrics.localization import (
    EmptyMaskError,
    best_dice,
    best_iou,
    energy_inside,
    fixed_dice,
    localization_scores,
    peak_distance,
    pixel_average_precision,
    pointing_game,
)
from hrcam_monai.metrics.randomization import randomization_curve

__all__ = [
    "FROC",
    "Displacement",
    "EmptyMaskError",
    "LesionDetection",
    "SubjectMetric",
    "Summary",
    "auc_or_chance",
    "best_dice",
    "best_iou",
    "blurred",
    "bootstrap_interval",
    "classification_summary",
    "completeness_error",
    "deletion_insertion",
    "displacement_warning",
    "energy_inside",
    "finding_groups",
    "fixed_dice",
    "laterality_index",
    "localization_scores",
    "map_shift",
    "peak_distance",
    "pixel_average_precision",
    "pointing_game",
    "randomization_curve",
    "roc_auc",
    "same_side",
    "stability",
    "summarize",
    "told_from",
]

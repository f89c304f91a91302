"""Metrics of classification and localisation."""

from hrcam_monai.metrics.classification import auc_or_chance, bootstrap_interval, classification_summary, roc_auc
from hrcam_monai.metrics.localization import best_dice, pixel_average_precision, pointing_game

__all__ = [
    "auc_or_chance",
    "best_dice",
    "bootstrap_interval",
    "classification_summary",
    "pixel_average_precision",
    "pointing_game",
    "roc_auc",
]

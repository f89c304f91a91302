"""Ignite handlers: of training, of maps, and of what a cohort run leaves behind."""

from hrcam_monai.handlers.maps import HRCAMHandler
from hrcam_monai.handlers.training import (
    SharpnessSchedule,
    StopOnDivergence,
    WholeCheckpointSaver,
    handlers_of_process,
    logits_and_label,
)

__all__ = [
    "HRCAMHandler",
    "SharpnessSchedule",
    "StopOnDivergence",
    "WholeCheckpointSaver",
    "handlers_of_process",
    "logits_and_label",
]

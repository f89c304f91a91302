"""What runs over a cohort: the evaluator, and the steps of a training."""

from hrcam_monai.engines.evaluator import CohortEvaluator
from hrcam_monai.engines.training import calibrate, last_checkpoint, run_stage

__all__ = ["CohortEvaluator", "calibrate", "last_checkpoint", "run_stage"]

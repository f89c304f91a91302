"""The evaluator of a cohort."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from hrcam_monai.data.cohort import FAILED
from hrcam_monai.data.failures import Failures

__all__ = ["CohortEvaluator"]


class CohortEvaluator(SupervisedEvaluator):
    """MONAI's SupervisedEvaluator, in which a subject that fails is noted and the others go on. One subject a batch.

    Args:
        failures: where failed subjects are noted.
        kwargs: of `SupervisedEvaluator`.
    """

    def __init__(self, failures: Failures, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.failures = failures

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]  # as MONAI's Evaluator has it
        """Run over the cohort; with no subject left for this process, its handlers begin and end all the same."""
        if len(self.data_loader):  # type: ignore[arg-type]
            super().run(global_epoch)
        else:
            for event in (Events.STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED):
                self.fire_event(event)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if FAILED in batchdata:
            for subject, file, error in zip(batchdata["subject"], batchdata["image"], batchdata[FAILED], strict=True):
                self.failures.add(subject, file, error)
            return []
        with self.failures.noting(batchdata["subject"], batchdata["file"]):
            return super()._iteration(engine, batchdata)
        return []

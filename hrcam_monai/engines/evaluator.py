"""The evaluator of a cohort."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from hrcam_monai.data.cohort import FAILED
from hrcam_monai.data.failures import Failures
from hrcam_monai.utils.files import OutputError

logger = logging.getLogger(__name__)


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
        try:
            return super()._iteration(engine, batchdata)
        except OutputError:
            raise  # the output folder is not the fault of this subject
        except Exception as error:
            for subject, file in zip(batchdata["subject"], batchdata["file"], strict=True):
                self.failures.add(subject, file, error)
            logger.debug("traceback", exc_info=error)
            return []

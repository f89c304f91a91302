"""What a person sees at a terminal while a network is trained and evaluated: a line an epoch, a table at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator

from hrcam_monai.metrics.measures import CLASSIFICATION, LOCALIZATION
from hrcam_monai.utils.tables import interval, table

__all__ = ["EpochLines", "evaluation_table"]

logger = logging.getLogger(__name__)
FEW = 20  # subjects of a class, below which numbers hang on single people
SHOWN = {  # of an evaluation: section, keys
    "classification": {
        key: CLASSIFICATION[key] for key in ("auc", "accuracy", "sensitivity", "specificity", "calibration_error")
    },
    "localization": {key: LOCALIZATION[key] for key in ("pixel_ap", "best_dice", "pointing")},
}


class EpochLines:
    """An Ignite handler that tells after each epoch the mean loss and, where the network was validated, its AUC.

    Attach it after the ValidationHandler.

    Args:
        stage: name of what is trained.
        validator: evaluator whose metrics `val_auc` and `val_loss` are told.

    Example:
        >>> EpochLines("train", evaluator).attach(trainer)  # doctest: +SKIP
    """

    def __init__(self, stage: str, validator: SupervisedEvaluator | None = None) -> None:
        self.stage = stage
        self.losses: list[float] = []
        self.metrics: dict[str, float] = {}  # of the validation of this epoch
        self.best = (float("-inf"), 0)  # AUC and its epoch
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.log_epoch)
        if self.validator is not None:
            self.validator.add_event_handler(Events.COMPLETED, self.validated)

    def start(self, _engine: Engine) -> None:
        self.losses, self.metrics = [], {}

    def collect(self, engine: Engine) -> None:
        self.losses += [float(item["loss"]) for item in engine.state.output]  # type: ignore[union-attr]

    def validated(self, validator: Engine) -> None:
        self.metrics = dict(validator.state.metrics)

    def log_epoch(self, engine: Engine) -> None:
        """Log the line."""
        epoch = engine.state.epoch
        text = f"{self.stage}, epoch {epoch} of {engine.state.max_epochs}: loss {sum(self.losses) / len(self.losses):.4f}"
        if "val_auc" in self.metrics:
            auc = self.metrics["val_auc"]
            self.best = max(self.best, (auc, epoch))
            text += f"; validation AUC {auc:.3f}, loss {self.metrics['val_loss']:.4f}"
            text += f" (best AUC {self.best[0]:.3f}, epoch {self.best[1]})"
        logger.info(text)


def evaluation_table(metrics: Mapping[str, Any]) -> str:
    """The numbers of `metrics.json` that count, each with n and its 95 % interval, and a caution where people are few.

    Example:
        >>> print(evaluation_table({"classification": {"subjects": 2, "auc": 1.0, "auc_ci95": [1, 1], "counts": {"a": 2}}}))
        | measure | n | value [95 % interval] |
        |---|---|---|
        | AUC | 2 | 1.000 [1.000, 1.000] |
        <BLANKLINE>
        Caution: 2 subject(s) of class 'a'. So few say little about others; see the intervals.
    """
    rows = []
    for section, measures in SHOWN.items():
        found = metrics.get(section, {})
        n = found.get("subjects", found.get("subjects_with_mask"))
        rows += [[measure.title, str(n), interval(found, key)] for key, measure in measures.items() if key in found]
    text = "\n".join(table(["measure", "n", "value [95 % interval]"], rows))
    counts = metrics["classification"].get("counts", {})
    rare = [f"{n} subject(s) of class '{name}'" for name, n in counts.items() if n < FEW]
    return f"{text}\nCaution: {', '.join(rare)}. So few say little about others; see the intervals." if rare else text

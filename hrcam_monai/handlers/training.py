"""What watches and steers a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.handlers import CheckpointSaver, StatsHandler, TensorBoardStatsHandler

from hrcam_monai.handlers.console import EpochLines
from hrcam_monai.handlers.maps import HRCAMHandler
from hrcam_monai.utils.distributed import is_main_process
from hrcam_monai.utils.files import write_tensors

__all__ = ["SharpnessSchedule", "StopOnDivergence", "WholeCheckpointSaver", "handlers_of_process", "logits_and_label"]


def logits_and_label(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """An engine's output, not decollated, to what Ignite's metrics take: logits [B, K] and labels [B]."""
    return output["pred"]["logits"], torch.as_tensor(output["label"]).reshape(-1).long()


class SharpnessSchedule:
    """Raises the sharpness r of log-sum-exp pooling linearly over the first epochs.

    A low r spreads the gradient over the image, which starts learning; a high one makes the map sharp.

    Args:
        modules: objects with a `sharpness`: the network's head and the training inferer.
        start: r of the first epoch.
        end: r from `epochs` on.
        epochs: how long it rises.
    """

    def __init__(self, modules: Sequence[Any], start: float, end: float, epochs: int) -> None:
        self.modules = modules
        self.start = start
        self.end = end
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.set)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def set(self, engine: Engine) -> None:
        share = min(1.0, (engine.state.epoch - 1) / max(1, self.epochs))
        self._apply(self.start + (self.end - self.start) * share)

    def finish(self, _engine: Engine) -> None:
        self._apply(self.end)

    def _apply(self, sharpness: float) -> None:
        for module in self.modules:
            module.sharpness = sharpness


class StopOnDivergence:
    """Ends a training whose loss is no number any more: its weights would be damaged, and every image be of the first class.

    Args:
        patience: iterations on end; mixed precision skips a step now and then, and goes on.

    Raises:
        RuntimeError: in the iteration that is one too many.

    Example:
        >>> StopOnDivergence().attach(trainer)  # doctest: +SKIP
    """

    def __init__(self, *, patience: int = 10) -> None:
        self.patience = patience
        self.seen = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.check)

    def check(self, engine: Engine) -> None:
        losses = [float(output["loss"]) for output in engine.state.output]  # type: ignore[union-attr]
        self.seen = 0 if np.isfinite(losses).all() else self.seen + 1
        if self.seen >= self.patience:
            raise RuntimeError(
                f"training diverged in epoch {engine.state.epoch}: the loss was {losses[0]} for {self.seen} iterations; "
                "lower --lr (--base_lr), then --resume True goes on from the last whole epoch."
            )


class WholeCheckpointSaver(CheckpointSaver):
    """MONAI's CheckpointSaver, whose files are whole or not there: MONAI's own leaves a torn one under its name on a full disk.

    Args:
        args, kwargs: of `CheckpointSaver`.

    Raises:
        OutputError: when it saves: a file cannot be written.

    Example:
        >>> WholeCheckpointSaver("runs", {"network": network}, save_interval=1).attach(trainer)  # doctest: +SKIP
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for saver in (self._final_checkpoint, self._key_metric_checkpoint, self._interval_checkpoint):
            if saver is not None:
                disk: Any = saver.save_handler
                disk._save_func = lambda checkpoint, path, _save: write_tensors(checkpoint, path)


WRITERS = (ProgressBar, EpochLines, StatsHandler, TensorBoardStatsHandler, CheckpointSaver, HRCAMHandler)


def handlers_of_process(handlers: Sequence[Any]) -> list[Any]:
    """The handlers that this process runs: all on the main one, elsewhere those that neither write nor print."""
    return [h for h in handlers if is_main_process() or not isinstance(h, WRITERS)]

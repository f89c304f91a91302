"""Interrupted and resumed, training goes on as if nothing had happened: the same settings, validation's memory, seeded epochs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import set_rnd
from monai.handlers import CheckpointSaver, EarlyStopHandler

from hrcam_monai.utils.distributed import is_main_process, wait
from hrcam_monai.utils.run_settings import RunSettings

__all__ = ["SeededEpochs", "ValidationMemory", "begin_training", "epoch_seed", "seed_epoch"]

LEFT = ("*_checkpoint_epoch=*.pt", "best.pt")  # what an earlier training leaves for a resumed one


def begin_training(run_dir: str | Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
    """See that a resumed training goes on with what it began with; one that starts anew finds nothing of an earlier one.

    Args:
        run_dir: folder of the run, there already; `training.json` in it keeps the settings.
        settings: by name, what the weights depend on, but for how long they are trained.
        resume: go on.

    Raises:
        ValueError: the training in this folder began with other settings.
    """
    kept = RunSettings(run_dir, settings, "training.json")
    if resume and kept.before and kept.changed:
        raise ValueError(
            f"{run_dir}: its training began with other settings ({', '.join(kept.changed)}); give the same again, choose "
            "another --output_dir, or leave --resume out to start anew."
        )
    wait()  # all have read what is there
    if is_main_process():
        for pattern in () if resume else LEFT:
            for path in Path(run_dir).glob(pattern):
                path.unlink()
        kept.write()
    wait()


def epoch_seed(seed: int, stage: int, epoch: int) -> int:
    """The seed of one epoch: it hangs on nothing that came before, so a resumed run draws what the first would have drawn.

    Example:
        >>> epoch_seed(0, 1, 3) == epoch_seed(0, 1, 3) != epoch_seed(0, 0, 3)
        True
    """
    return int(np.random.SeedSequence([seed, stage, epoch]).generate_state(1)[0])


def seed_epoch(dataset: Any, value: int) -> None:
    """Let python, numpy, torch and a dataset's random transforms draw from this seed."""
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)  # sampling, workers, flips and mixtures draw from torch
    set_rnd(dataset, value)


class SeededEpochs:
    """An Ignite handler that seeds torch, numpy, python and the dataset's random transforms at the start of each epoch.

    Args:
        seed: of the run.
        stage: number of the stage, so that two stages draw different numbers.
    """

    def __init__(self, seed: int, stage: int = 0) -> None:
        self.seed = seed
        self.stage = stage

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        dataset = engine.data_loader.dataset  # type: ignore[attr-defined]
        seed_epoch(dataset, epoch_seed(self.seed, self.stage, engine.state.epoch))
        # a gradient left from the stage before, which a resumed run has not, would let weights decay that the loss never sees
        engine.optimizer.zero_grad(set_to_none=True)  # type: ignore[attr-defined]


class ValidationMemory:
    """What validation remembers between epochs, for a checkpoint: the best metric so far, and how long it has not improved.

    Without it the first validation after `--resume True` takes the place of the best one before, however bad it is.

    Args:
        handlers: of the validator; its CheckpointSaver keeps the best network.
        early_stop: handler that may end training.
    """

    def __init__(self, handlers: Sequence[Any], early_stop: EarlyStopHandler) -> None:
        savers = [h._key_metric_checkpoint for h in handlers if isinstance(h, CheckpointSaver)]
        self.parts: dict[str, Any] = {f"best_{i}": saver for i, saver in enumerate(savers) if saver is not None}
        self.stopper: Any = early_stop._handler
        self.parts["early_stop"] = self.stopper

    def state_dict(self) -> dict[str, Any]:
        return {name: dict(part.state_dict()) for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        if self.stopper.counter >= self.stopper.patience:  # the run had ended here: no epoch more
            self.stopper.trainer.add_event_handler(Events.STARTED, self.stopper.trainer.terminate)

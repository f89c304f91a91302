"""A training in rounds of equal length, each with new seeds and a learning rate that rises and falls again."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, SequentialLR

__all__ = ["epochs_of_round", "one_cycle_a_round"]

LEAST_STEPS = 10  # of a cycle; of fewer it has no rise and no fall


def epochs_of_round(epochs: int, rounds: int) -> int:
    """How many epochs a round has; the last one has fewer where they do not divide.

    Raises:
        ValueError: there is less than one round.

    Example:
        >>> epochs_of_round(14, 2), epochs_of_round(7, 3)
        (7, 3)
    """
    if rounds < 1:
        raise ValueError(f"seed_rounds is {rounds}; a training has 1 round or more.")
    return max(1, -(-epochs // rounds))


def one_cycle_a_round(
    optimizer: Optimizer, *, max_lr: float, epochs: int, steps_per_epoch: int, rounds: int = 1, **options: Any
) -> LRScheduler:
    """One cycle of the learning rate (`OneCycleLR`) for each round of the training.

    Args:
        optimizer: its learning rates are changed with every step.
        max_lr: highest learning rate of each cycle.
        epochs: of all rounds together.
        steps_per_epoch: batches.
        rounds: see `epochs_of_round`.
        options: of `OneCycleLR`.

    Example:
        >>> from torch import nn, optim
        >>> optimizer = optim.AdamW(nn.Linear(1, 1).parameters())
        >>> schedule = one_cycle_a_round(optimizer, max_lr=1.0, epochs=4, steps_per_epoch=5, rounds=2)
        >>> schedule.get_last_lr()
        [0.04]
    """
    steps = epochs_of_round(epochs, rounds) * steps_per_epoch
    cycles: list[LRScheduler] = [
        OneCycleLR(optimizer, max_lr, total_steps=max(steps, LEAST_STEPS), **options) for _ in range(rounds)
    ]
    return SequentialLR(optimizer, cycles, [steps * i for i in range(1, rounds)]) if rounds > 1 else cycles[0]

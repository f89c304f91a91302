from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn, optim

from hrcam_monai.seeds.rounds import epochs_of_round, one_cycle_a_round


def rates(schedule, steps):
    """Of each step its learning rate and momentum."""
    found = []
    for _ in range(steps):
        group = schedule.optimizer.param_groups[0]
        found.append((group["lr"], *group["betas"]))
        schedule.optimizer.step()
        schedule.step()
    return np.array(found)


def optimizer():
    torch.manual_seed(0)
    return optim.AdamW(nn.Linear(2, 1).parameters(), lr=0.1)


def test_each_round_has_the_cycle_that_a_training_of_its_length_has():
    alone = rates(optim.lr_scheduler.OneCycleLR(optimizer(), 0.1, total_steps=12, pct_start=0.25), 11)
    twice = rates(one_cycle_a_round(optimizer(), max_lr=0.1, epochs=4, steps_per_epoch=6, rounds=2, pct_start=0.25), 24)
    assert np.allclose(twice[:11], alone)
    assert np.allclose(twice[:12], twice[12:])


def test_a_resumed_schedule_goes_on_in_its_round():
    options = {"max_lr": 0.1, "epochs": 4, "steps_per_epoch": 6, "rounds": 2}
    whole = one_cycle_a_round(optimizer(), **options)
    rates(whole, 15)
    resumed = one_cycle_a_round(optimizer(), **options)
    resumed.load_state_dict(whole.state_dict())
    resumed.optimizer.load_state_dict(whole.optimizer.state_dict())
    assert np.allclose(rates(resumed, 9), rates(whole, 9))


def test_a_training_has_a_round():
    assert epochs_of_round(0, 1) == 1
    with pytest.raises(ValueError, match="seed_rounds is 0; a training has 1 round or more."):
        epochs_of_round(4, 0)

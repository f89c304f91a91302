from __future__ import annotations

import random
import subprocess
import time

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.handlers import CheckpointSaver, EarlyStopHandler
from monai.transforms import Compose, RandScaleIntensity

from hrcam_monai.engines import last_checkpoint
from hrcam_monai.engines.resuming import SeededEpochs, ValidationMemory, begin_training
from tests.bundle.runs import TINY, command, run
from tests.processes import environment

QUICK = {**TINY, "base_epochs": 2, "epochs": 3, "val_interval": 1, "batch_size": 2, "slices_per_subject": 2}


def drawn(first: int, last: int) -> list[list[float]]:
    """What the epochs of a run, or of the rest of one, draw."""
    loader = DataLoader(Dataset([torch.ones(1)] * 3, Compose([RandScaleIntensity(0.5, prob=1)])), shuffle=True)
    epochs: list[list[float]] = []

    def step(engine, batch):
        epochs[-1] += [float(batch), float(torch.rand(1)), random.random(), np.random.rand()]

    engine = Engine(step)
    engine.data_loader = loader
    engine.optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.1)
    SeededEpochs(3, stage=1).attach(engine)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: epochs.append([]))
    engine.state.epoch = first - 1
    engine.state.iteration = 3 * (first - 1)
    engine.state.max_epochs = last
    engine.state.epoch_length = 3
    engine.run(loader)
    return epochs


def test_an_epoch_draws_the_same_whatever_came_before():
    whole = drawn(1, 4)
    assert whole[2:] == drawn(3, 4)
    assert whole[0] != whole[1]


def validation(folder, scores):
    """A validator that has seen these scores."""
    trainer, validator = Engine(lambda e, b: None), Engine(lambda e, b: None)
    saver = CheckpointSaver(folder, {"network": torch.nn.Linear(1, 1)}, save_key_metric=True, key_metric_filename="best.pt")
    stop = EarlyStopHandler(2, lambda e: e.state.metrics["auc"], trainer)
    saver.attach(validator)
    stop.attach(validator)
    validator.state.key_metric_name = "auc"
    memory = ValidationMemory([saver], stop)
    for score in scores:
        validator.state.metrics = {"auc": score}
        saver.metrics_completed(validator)
        stop(validator)
    return trainer, saver, stop, memory


def test_validation_goes_on_with_what_it_remembered(tmp_path):
    _, _, _, before = validation(tmp_path, [0.9, 0.5])
    trainer, saver, stop, after = validation(tmp_path / "new", [])
    after.load_state_dict(before.state_dict())
    assert saver._key_metric_checkpoint._saved[0].priority == 0.9
    assert stop._handler.counter == 1
    trainer.run([0, 0], max_epochs=2)
    assert trainer.state.epoch == 2


def test_a_run_that_had_stopped_early_stays_stopped(tmp_path):
    _, _, _, before = validation(tmp_path, [0.9, 0.5, 0.4])
    trainer, _, _, after = validation(tmp_path / "new", [])
    after.load_state_dict(before.state_dict())
    trainer.run([0, 0], max_epochs=2)
    assert trainer.state.iteration == 0


@pytest.mark.slow
def test_a_killed_and_resumed_training_gives_the_weights_of_a_whole_one(cohort, tmp_path):
    configs = ("train", "exact_resume")
    whole = run(*configs, cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "whole", **QUICK)
    assert whole.returncode == 0, whole.stderr
    parts = tmp_path / "parts"
    line = command(*configs, dataset_dir=cohort, output_dir=parts, **QUICK)
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and last_checkpoint(parts, "train") is None:  # a whole one
            time.sleep(0.02)
        process.kill()
    assert not (parts / "model.pt").exists()
    rest = run(*configs, cwd=tmp_path, dataset_dir=cohort, output_dir=parts, resume=True, **QUICK)
    assert rest.returncode == 0, rest.stderr
    assert "train: resuming from" in rest.stdout + rest.stderr
    a, b = (torch.load(tmp_path / n / "model.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(v, b[k]) for k, v in a.items())


def test_a_training_that_starts_anew_finds_nothing_of_an_earlier_one(tmp_path):
    begin_training(tmp_path, {"seed": 0})
    for name in ("base_checkpoint_epoch=3.pt", "train_checkpoint_epoch=2.pt", "best.pt", "model.pt"):
        (tmp_path / name).touch()
    begin_training(tmp_path, {"seed": 0}, resume=True)
    assert len(list(tmp_path.glob("*.pt"))) == 4
    with pytest.raises(ValueError, match=r"its training began with other settings \(seed\); give the same again"):
        begin_training(tmp_path, {"seed": 1}, resume=True)
    assert len(list(tmp_path.glob("*.pt"))) == 4
    begin_training(tmp_path, {"seed": 1})
    assert [p.name for p in tmp_path.glob("*.pt")] == ["model.pt"]
    begin_training(tmp_path, {"seed": 1}, resume=True)


def test_checkpoints_of_which_nothing_is_known_are_gone_on_with(tmp_path):
    (tmp_path / "train_checkpoint_epoch=2.pt").touch()
    begin_training(tmp_path, {"seed": 0}, resume=True)
    assert (tmp_path / "train_checkpoint_epoch=2.pt").exists()

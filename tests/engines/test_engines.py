from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer

from hrcam_monai.data import Failures
from hrcam_monai.engines import CohortEvaluator, calibrate, last_checkpoint, run_stage
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.losses import MapLoss
from hrcam_monai.networks import HRCAMNet, StageCNN, pool_maps


def small_net(reference: int | None = None) -> HRCAMNet:
    torch.manual_seed(0)
    return HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling="lse", reference=reference)


def stage(net, epochs):
    items = [{"image": torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(i)), "label": i % 2} for i in range(4)]
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=net,
        optimizer=optimizer,
        loss_function=MapLoss(l1=0.01),
        inferer=HRCAMInferer(),
    )
    return trainer, {"network": net, "optimizer": optimizer}


def test_resumed_training_equals_training_in_one_go(tmp_path):
    whole = small_net()
    run_stage(*stage(whole, 4), tmp_path / "whole", "train")
    # killed after the second epoch: the checkpoint that was left says so
    part = small_net()
    trainer, state = stage(part, 4)
    run_until_epoch(trainer, state, tmp_path / "part", 2)
    fresh = small_net()
    trainer, state = stage(fresh, 4)
    run_stage(trainer, state, tmp_path / "part", "train", resume=True)
    assert trainer.state.epoch == 4
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[key], value, msg=key)
    # a stage that is complete is not run again
    trainer, state = stage(small_net(), 4)
    before = last_checkpoint(tmp_path / "part", "train").stat().st_mtime_ns
    run_stage(trainer, state, tmp_path / "part", "train", resume=True)
    assert last_checkpoint(tmp_path / "part", "train").stat().st_mtime_ns == before


def run_with_schedule(folder, epochs):
    """Whole or resumed: the epochs that are done, and the learning rate of each step that was taken this time."""
    trainer, state = stage(small_net(), epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(state["optimizer"], 0.01, total_steps=2 * epochs)
    rates = []

    def step(_engine):
        rates.append(state["optimizer"].param_groups[0]["lr"])
        schedule.step()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, step)
    run_stage(trainer, {**state, "lr_scheduler": schedule}, folder, "train", resume=True)
    return trainer.state.epoch, rates


def test_a_complete_stage_goes_on_along_the_longer_schedule_when_more_epochs_are_asked_for(tmp_path):
    _, whole = run_with_schedule(tmp_path / "whole", 5)
    assert run_with_schedule(tmp_path / "part", 3)[0] == 3
    assert run_with_schedule(tmp_path / "part", 5) == (5, pytest.approx(whole[6:]))
    assert run_with_schedule(tmp_path / "part", 4) == (5, [])


def run_until_epoch(trainer, state, folder, epoch):
    class Killed(Exception):
        pass

    def kill(_engine):
        raise Killed

    trainer.add_event_handler(Events.EPOCH_STARTED(once=epoch + 1), kill)
    with pytest.raises(Killed):
        run_stage(trainer, state, folder, "train")


def test_a_checkpoint_that_a_kill_has_cut_short_is_passed_over(tmp_path):
    run_stage(*stage(small_net(), 3), tmp_path, "train")
    kept = sorted(p.name for p in tmp_path.glob("train_checkpoint_epoch=*.pt"))
    assert kept == ["train_checkpoint_epoch=2.pt", "train_checkpoint_epoch=3.pt"]
    newest = tmp_path / kept[1]
    for left in (newest.read_bytes()[:1000], b""):
        newest.write_bytes(left)
        assert last_checkpoint(tmp_path, "train").name == kept[0]
    trainer, state = stage(small_net(), 3)
    run_stage(trainer, state, tmp_path, "train", resume=True)
    assert trainer.state.epoch == 3


@pytest.mark.parametrize("reference", [None, 0])
def test_calibration_finds_the_shift_and_keeps_completeness(reference):
    net = small_net(reference).eval()
    inferer = HRCAMInferer()
    images = torch.rand(60, 1, 16, 16)
    with torch.no_grad():
        margin = net(images).diff(dim=1)[:, 0]
    labels = (margin > margin.median()).long()
    with torch.no_grad():
        net.head.bias.sub_(torch.tensor([0.0, 3.0]))
    loader = [{"image": images[i : i + 10], "label": labels[i : i + 10]} for i in range(0, 60, 10)]
    before = torch.nn.functional.cross_entropy(net(images), labels)
    calibrate(net, inferer, loader, torch.device("cpu"))
    logits, maps = net.class_maps(images)
    assert torch.nn.functional.cross_entropy(logits, labels) < 0.6 * before
    assert abs(float(logits.argmax(1).float().mean()) - float(labels.float().mean())) < 0.3
    torch.testing.assert_close(pool_maps(maps, "lse", 10.0), logits)
    assert reference is None or not maps[:, reference].any()


def test_a_subject_that_fails_does_not_stop_the_others(tmp_path: Path):
    items = [
        {"image": torch.rand(1, 16, 16), "subject": "good", "file": "g"},
        {"failure": "is empty", "subject": "bad", "image": "b.nii"},
        {"image": torch.rand(3, 16, 16), "subject": "odd", "file": "o"},  # three channels: the network will throw
        {"image": torch.rand(1, 16, 16), "subject": "last", "file": "l"},
    ]
    failures = Failures(tmp_path)
    seen = []
    evaluator = CohortEvaluator(
        failures=failures,
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=1),
        network=small_net(),
        inferer=HRCAMInferer(),
        postprocessing=lambda item: seen.append(item["subject"]) or item,
    )
    evaluator.run()
    assert seen == ["good", "last"]
    assert [f.subject for f in failures.found] == ["bad", "odd"]

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from hrcam_monai.handlers import HRCAMHandler, SharpnessSchedule, StopOnDivergence, logits_and_label
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.losses import MapLoss
from hrcam_monai.networks import HRCAMNet, StageCNN


def evaluator(handler, decollate=False, shape=(16, 16, 4)):
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    items = [{"image": MetaTensor(torch.rand(1, *shape), affine=affine), "subject": f"s{i}", "label": 0} for i in range(3)]
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling="lse")
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=net,
        inferer=HRCAMInferer(slice_axis=2),
        val_handlers=[handler],
        decollate=decollate,
    )


class Writer:
    def __init__(self):
        self.images = {}

    def add_image(self, tag, image, epoch, dataformats):
        assert dataformats == "HWC"
        self.images[tag, epoch] = image


@pytest.mark.parametrize("decollate", [False, True])
def test_maps_are_written_with_epoch_and_subject_in_the_name(tmp_path, decollate):
    writer = Writer()
    engine = evaluator(HRCAMHandler(tmp_path, count=2, writer=writer), decollate)
    engine.run(7)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"epoch007_s{i}.{e}" for i in (0, 1) for e in ("nii.gz", "png")]
    image = nib.load(tmp_path / "epoch007_s1.nii.gz")
    assert image.shape == (16, 16, 4)
    np.testing.assert_allclose(image.affine, np.diag([2, 2, 3, 1]))
    assert set(writer.images) == {("maps/s0", 7), ("maps/s1", 7)}


def test_maps_of_chosen_subjects_every_other_epoch(tmp_path):
    engine = evaluator(HRCAMHandler(tmp_path, subjects=["s2"], interval=2, nifti=False))
    engine.run(2)
    assert not list(tmp_path.iterdir())
    engine.run(3)
    assert [p.name for p in tmp_path.iterdir()] == ["epoch003_s2.png"]


def test_maps_of_a_trainer(tmp_path):
    items = [{"image": torch.rand(1, 16, 16), "subject": f"s{i}", "label": i % 2} for i in range(2)]
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling="lse")
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=net,
        optimizer=torch.optim.SGD(net.parameters(), 0.01),
        loss_function=MapLoss(),
        inferer=HRCAMInferer(),
        train_handlers=[HRCAMHandler(tmp_path, subjects=["s1"], nifti=False)],
    )
    trainer.run()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch001_s1.png", "epoch002_s1.png"]
    assert net.training


def test_sharpness_rises_and_ends_where_it_should():
    inferer, seen = HRCAMInferer(sharpness=10.0), []
    engine = Engine(lambda _engine, _batch: None)
    SharpnessSchedule([inferer], start=4.0, end=10.0, epochs=3).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(inferer.sharpness))
    engine.run([0], max_epochs=5)
    assert seen == [4.0, 6.0, 8.0, 10.0, 10.0]
    assert inferer.sharpness == 10.0


def test_logits_and_label():
    output = {"pred": {"logits": torch.zeros(2, 3)}, "label": torch.tensor([[0], [2]])}
    assert logits_and_label(output)[1].tolist() == [0, 2]


def test_a_training_that_diverges_ends_with_what_to_do():
    losses = [1.0, float("nan"), 1.0, *[float("nan")] * 9]
    engine = Engine(lambda _, i: [{"loss": torch.tensor(losses[i])}])
    StopOnDivergence(patience=3).attach(engine)
    with pytest.raises(RuntimeError, match=r"training diverged in epoch 1: the loss was nan for 3 iterations; lower --lr"):
        engine.run(range(len(losses)))
    assert engine.state.iteration == 6  # one alone is let pass

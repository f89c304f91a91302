"""Seeds that are made of each batch."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from hrcam_monai.networks import HRCAMNet, StageCNN, locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds import BatchSeeds
from hrcam_monai.seeds.layer_cam import mirrored_layer_cam, scaled


def network(reference=0, channels=1):
    torch.manual_seed(3)
    cnn = StageCNN(spatial_dims=2, in_channels=channels, channels=(4, 6), convs=(1, 1))
    return HRCAMNet(cnn, 2, in_channels=channels, reference=reference)


def begun(seeds, epoch=0):
    engine = Engine(lambda *_: None)
    engine.state.epoch = epoch
    seeds.keep(engine)
    return seeds


def batch(channels=1):
    return {"image": torch.rand(4, channels, 24, 20), "label": torch.tensor([0, 1, 0, 1])}


def test_findings_have_seeds_and_the_reference_has_none(tmp_path):
    image, target = begun(BatchSeeds(network(), tmp_path, weight=1.0, reference=0))(batch())
    assert target["seeds"].shape == (4, 1, 24, 20)
    assert [float(s.max()) for s in target["seeds"]] == [0, 1, 0, 1]
    assert image.shape == (4, 1, 24, 20)
    _, target = begun(BatchSeeds(network(None), tmp_path, weight=1.0))(batch())
    assert [float(s.max()) for s in target["seeds"]] == [1, 1, 1, 1]


def test_they_are_layercam_along_the_edges_of_the_slice_itself(tmp_path):
    net, data = network(channels=3), batch(3)
    _, target = begun(BatchSeeds(net, tmp_path, weight=1.0, reference=0, neighbours=[-1, 1]))(data)
    own, labels = data["image"][1::2], data["label"][1::2]
    maps = mirrored_layer_cam(net.backbone, own, labels, locate_taps(net.backbone, (1, 3, 24, 20)), power=2.0)
    assert torch.allclose(target["seeds"][1::2], scaled(along_edges(maps, own[:, :1])))


def test_a_resumed_training_goes_on_with_the_cnn_that_it_began_with(tmp_path):
    net, data = network(), batch()
    first = begun(BatchSeeds(net, tmp_path, weight=1.0, reference=0))(data)[1]["seeds"]
    for module in net.modules():  # what training does
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight)
    assert torch.equal(begun(BatchSeeds(net, tmp_path, weight=1.0, reference=0), epoch=2)(data)[1]["seeds"], first)


def test_without_a_weight_batches_stay_as_they_are(tmp_path):
    seeds = begun(BatchSeeds(network(), tmp_path, weight=0.0, reference=0))
    _, label = seeds(batch())
    assert torch.equal(label, torch.tensor([0, 1, 0, 1]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_it_begins_with_the_trainer(tmp_path, weight):
    seeds, given = BatchSeeds(network(), tmp_path, weight=weight, reference=0), []
    engine = Engine(lambda _, data: given.append(seeds(data)[1]))
    seeds.attach(engine)
    engine.run([batch()])
    assert isinstance(given[0], dict) == bool(weight)

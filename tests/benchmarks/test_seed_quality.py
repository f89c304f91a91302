from __future__ import annotations

from functools import partial

import pytest
import seed_quality
import torch

from hrcam_monai.networks import HRCAMNet, StageCNN, locate_taps
from hrcam_monai.seeds import own_maps
from hrcam_monai.seeds.layer_cam import mirrored_layer_cam


def readers():
    torch.manual_seed(0)
    network = HRCAMNet(StageCNN(num_classes=3), 3, reference=None)
    taps = locate_taps(network.backbone, (1, 1, 32, 32))
    return network, {"LayerCAM": partial(mirrored_layer_cam, network.backbone, taps=taps), "own": partial(own_maps, network)}


@pytest.mark.parametrize("name", ["LayerCAM", "own"])
def test_maps_and_features_of_each_image_are_its_own(name):
    network, read = readers()
    images, labels = torch.rand(3, 1, 32, 32), torch.tensor([0, 2, 1])
    maps, features = seed_quality.maps_of(read[name], network.backbone, images, labels)
    assert maps.shape == images.shape
    assert len(features) == 3
    alone, own = seed_quality.maps_of(read[name], network.backbone, images[1:2], labels[1:2])
    torch.testing.assert_close(alone, maps[1:2])
    torch.testing.assert_close(own, features[1:2])


def test_a_map_of_the_mask_is_right_everywhere(capsys):
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:20, 8:20] = 1
    seed_quality.table({"masks": masks}, masks, masks, torch.tensor([0, 1]), ["a", "b"])
    assert capsys.readouterr().out.splitlines()[-1] == "| masks | 1.000 | 1.000 | 1.000 | 1.00 |"

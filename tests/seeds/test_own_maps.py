from __future__ import annotations

import pytest
import torch

from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.seeds import own_maps


def network(reference, dims=2):
    torch.manual_seed(0)
    return HRCAMNet(
        StageCNN(spatial_dims=dims, num_classes=3, channels=(4, 6), convs=(1, 1)), 3, reference=reference, spatial_dims=dims
    )


@pytest.mark.parametrize(("dims", "size"), [(2, (24, 20)), (3, (16, 12, 8))])
@pytest.mark.parametrize("reference", [None, 0])
def test_own_maps_are_of_the_labels_class_and_leave_the_network_in_its_mode(dims, size, reference):
    net = network(reference, dims).train()
    images = torch.rand(2, 1, *size)
    own = own_maps(net, images, torch.tensor([1, 2]))
    assert net.training
    assert not own.requires_grad
    assert own.shape == (2, 1, *size)
    assert own.flatten(1).amax(1).tolist() == pytest.approx([1, 1])
    maps = net.eval().class_maps(images)[1].detach()
    background = maps if reference == 0 else torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1)
    likely = background.softmax(dim=1)[0, 1 + (reference is None)]
    assert torch.allclose(own[0, 0], likely / likely.max(), atol=1e-5)


def test_a_mirrored_reading_is_mirrored_back():
    net, images, labels = network(None), torch.rand(2, 1, 24, 20), torch.tensor([0, 1])
    both = own_maps(net, images, labels, mirrors=[[], [2]], power=2.0)
    turned = own_maps(net, images.flip(2), labels, mirrors=[[], [2]], power=2.0)
    assert torch.allclose(both, turned.flip(2), atol=1e-5)

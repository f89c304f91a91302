import pytest
import torch
from torch import nn

from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import Displacement, displacement_warning, map_shift
from hrcam_monai.networks import HRCAMNet, StageCNN


def blob(shape, centre, width=2.0):
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij")
    return torch.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / (2 * width**2))


@pytest.mark.parametrize("shape", [(40, 36), (24, 28, 20)])
@pytest.mark.parametrize("shift", [0.0, 3.0, -2.5])
def test_a_known_shift_is_found_on_each_axis(shape, shift):
    for axis in range(len(shape)):
        centre = [n / 2 for n in shape]
        there, back = list(centre), list(centre)
        there[axis] += shift
        back[axis] -= shift
        assert map_shift(blob(shape, there), blob(shape, back), axis) == pytest.approx(shift, abs=0.05)


def test_a_constant_map_has_no_shift_and_grids_must_agree():
    assert torch.tensor(map_shift(torch.ones(8, 8), torch.ones(8, 8), 0)).isnan()
    with pytest.raises(ValueError, match=r"maps are \(8, 8\) and \(8, 9\); they must be on one grid"):
        map_shift(torch.rand(8, 8), torch.rand(8, 9), 0)


class Levels(nn.Module):
    """A backbone of two levels: the image, and the image half as large."""

    level_channels = (1, 1)

    def __init__(self, dims):
        super().__init__()
        self.pool = nn.AvgPool2d(2) if dims == 2 else nn.AvgPool3d(2)

    def level_features(self, x):
        return [x, self.pool(x)]

    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True)


def shifted_net(dims, by):
    """The first level looks `by` voxels aside along the first axis; the second does not."""
    net = HRCAMNet(Levels(dims), num_classes=2, spatial_dims=dims, pooling="lse").eval()
    plain = net.backbone.level_features
    net.backbone.level_features = lambda x: [x.roll(by, 2), plain(x)[1]]
    net.head.weight.data[:] = torch.tensor([[-2.0, -0.01], [2.0, 0.01]])
    return net


@pytest.mark.parametrize("dims", [2, 3])
def test_levels_and_axes_are_told_apart(dims):
    image = blob((32, 28, 24)[:dims], (14, 12, 11)[:dims])[None, None]
    metric = Displacement(HRCAMInferer(), axes=[0, 1], spacing=(2, 1, 1))
    metric(image, shifted_net(dims, 3), class_idx=1)
    found = metric.aggregate()
    assert found["level1"]["axis0"]["voxels"] == pytest.approx(3, abs=0.1)
    assert found["level1"]["axis0"]["mm"] == pytest.approx(6, abs=0.2)
    assert abs(found["level1"]["axis1"]["voxels"]) < 0.1
    assert abs(found["level2"]["axis0"]["voxels"]) < 0.1
    text = displacement_warning(found)
    assert text.startswith("Maps are displaced: +3.0 voxels (+6.0 mm) along axis0. Train and read them through flips")
    metric.reset()
    assert metric.aggregate() == {}
    metric(image, shifted_net(dims, 0), class_idx=1)
    assert displacement_warning(metric.aggregate()) == ""


def test_volumes_slice_by_slice_and_at_most_so_many_subjects():
    net = HRCAMNet(StageCNN(channels=(4, 8), convs=(1, 1)), num_classes=2, pooling="lse").eval()
    metric = Displacement(HRCAMInferer(slice_axis=2), axes=[0], max_subjects=2)
    metric(torch.rand(3, 1, 16, 16, 4), net, class_idx=[0, 1, 1])
    assert metric.aggregate()["map"]["axis0"]["subjects"] == 2


def test_a_network_in_training_mode_is_left_as_it_was():
    """Evaluators of MONAI put the network back into training mode after each batch."""
    net = HRCAMNet(StageCNN(channels=(4, 8), convs=(1, 1)), num_classes=2).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    Displacement(HRCAMInferer(), axes=[0])(torch.rand(2, 1, 16, 16), net, class_idx=1)
    assert net.training
    assert net.backbone.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_the_first_subjects_count_whoever_measured_them():
    metric = Displacement(HRCAMInferer(), axes=[0], max_subjects=2)
    metric.merge([(5, {"map": [9.0]}), (0, {"map": [1.0]}), (3, {"map": [2.0]})])
    assert metric.aggregate()["map"]["axis0"]["voxels"] == 1.5

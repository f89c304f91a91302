import torch

from hrcam_monai.metrics import randomization_curve
from hrcam_monai.metrics.randomization import layers_from_output, randomized
from hrcam_monai.networks import HRCAMNet, StageCNN


def read(net, x):
    return net.class_maps(x)[1][0, 1]


def make():
    torch.manual_seed(0)
    return HRCAMNet(StageCNN(channels=(4, 8), convs=(1, 2)), num_classes=2, pooling="lse").eval()


def test_from_the_head_to_the_first_convolution():
    names = layers_from_output(make())
    assert names[0] == "head"
    assert names[-1].startswith("backbone.stages.0")


def test_the_network_is_left_alone_and_the_curve_repeats():
    net = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    images = [torch.rand(1, 16, 16) for _ in range(3)]
    state = torch.get_rng_state()
    first = randomization_curve(net, read, images)
    assert torch.equal(state, torch.get_rng_state())
    assert first == randomization_curve(net, read, images)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert [step.layer for step in first] == layers_from_output(net)
    assert all(abs(step.correlation) <= step.absolute <= 1 for step in first)


def test_every_other_layer_and_always_the_last():
    net = make()
    curve = randomization_curve(net, read, [torch.rand(1, 16, 16)], draws=1, every=3)
    names = layers_from_output(net)
    assert [step.layer for step in curve] == [n for i, n in enumerate(names, 1) if i % 3 == 0 or i == len(names)]


def test_parameters_without_a_reset_are_drawn_anew():
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.linspace(-1, 1, 100))
    module.scale = torch.nn.Parameter(torch.tensor(3.0))
    randomized(module)
    assert not torch.equal(module.weight, torch.linspace(-1, 1, 100))
    assert 0.3 < module.weight.std() < 1
    assert module.scale != 3


def test_a_map_that_owes_nothing_to_the_weights_survives():
    curve = randomization_curve(make(), lambda net, x: x[0, 0], [torch.rand(1, 16, 16)], draws=1)
    assert all(abs(step.correlation - 1) < 1e-6 for step in curve)

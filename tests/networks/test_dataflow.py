from __future__ import annotations

import torch
from torch import Tensor, nn

from hrcam_monai.networks.dataflow import trace


class Residual(nn.Module):
    """A block with a way round its convolution, whose side output no one uses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side, self.fc = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 5, 1), nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        self.side(x)
        x = x + self.conv(x).relu_()
        return self.fc(x.mean((2, 3)))


def test_every_function_is_noted_with_its_sources_and_place():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ReLU())
    flow = trace(net, torch.rand(1, 1, 8, 8))
    assert [n.place for n in flow.nodes[1:]] == [("0", 1, "conv2d", 1), ("1", 1, "relu", 1), ("2", 1, "relu", 1)]
    assert [n.outputs for n in flow.nodes[1:]] == [[("0", 1)], [("1", 1)], [("2", 1), ("", 1)]]
    assert [n.learned for n in flow.nodes] == [False, True, False, False]
    assert flow.nodes[1].kernel == 3
    assert flow.nodes[2].sources == [flow.nodes[1]]


def test_only_what_the_output_is_computed_from_is_used():
    flow = trace(Residual(), torch.rand(1, 1, 8, 8))
    assert "side" in {n.place[0] for n in flow.nodes}
    assert "side" not in {n.place[0] for n in flow.used}


def test_gates_are_what_no_way_leads_round():
    flow = trace(Residual(), torch.rand(1, 1, 8, 8))
    assert [n.function for n in flow.gates()] == ["input", "mul", "add", "mean", "linear"]


def test_what_is_changed_in_place_is_overwritten():
    flow = trace(Residual(), torch.rand(1, 1, 8, 8))
    by_function = {n.function: n for n in flow.used}
    assert by_function["conv2d"].overwritten
    assert by_function["conv2d"].value is by_function["relu_"].value
    assert not by_function["relu_"].overwritten


class OutOfSight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, g):
        return g * 3


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return OutOfSight.apply(x)


def test_what_is_made_out_of_sight_is_known_by_its_module():
    flow = trace(nn.Sequential(nn.Conv2d(1, 2, 3), Hidden(), nn.ReLU()), torch.rand(1, 1, 8, 8))
    assert [n.place[0] for n in flow.used] == ["", "0", "1", "2"]
    assert flow.used[3].sources == [flow.used[2]]


def test_the_network_is_left_as_it_was():
    net = Residual().train()
    trace(net, torch.rand(1, 1, 8, 8))
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(p.grad is None for p in net.parameters())

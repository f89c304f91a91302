"""What `speed.py` measures: networks with their inputs, and one function for each way to make class maps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from common import OURS, PLAIN
from monai.networks.nets import DenseNet121, resnet18
from monai.visualize import CAM, GradCAM, GradCAMpp
from torch import Tensor, nn

from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.visualize import HRCAM

CLASSES = 2
CLASS = 1  # the class shown by methods that make one map a call
GRADIENT = ("MONAI GradCAM", "MONAI GradCAMpp", "TorchCAM LayerCAM, all levels")  # cannot run under no_grad


@dataclass(frozen=True)
class Case:
    """A network and the shape of its input, [B, 1, *spatial]."""

    name: str
    title: str
    shape: tuple[int, ...]
    backbone: Callable[[], nn.Module]
    last: str  # the layer that CAM and Grad-CAM look at
    fc: str  # the linear layer behind it
    tap_names: tuple[str, ...] | None = None  # where other tools find the levels; None: as HRCAMNet does

    @property
    def spatial_dims(self) -> int:
        return len(self.shape) - 2


CASES = {
    case.name: case
    for case in (
        Case(
            "densenet121_2d",
            "DenseNet121, 2-D",
            (8, 1, 224, 224),
            partial(DenseNet121, 2, 1, CLASSES),
            "class_layers.relu",
            "class_layers.out",
        ),
        Case(
            "densenet121_3d",
            "DenseNet121, 3-D",
            (1, 1, 96, 96, 96),
            partial(DenseNet121, 3, 1, CLASSES),
            "class_layers.relu",
            "class_layers.out",
        ),
        Case(
            "resnet18_3d",
            "ResNet18, 3-D",
            (1, 1, 96, 96, 96),
            partial(resnet18, spatial_dims=3, n_input_channels=1, num_classes=CLASSES),
            "layer4",
            "fc",
        ),
        Case(
            "stagecnn_192",
            "StageCNN of spatial_3d.json, whole volume",
            (1, 1, 192, 192, 192),
            partial(StageCNN, 3, channels=(8, 16, 32, 48), num_classes=CLASSES),
            "stages.3",
            "fc",
            ("stages.0", "stages.1", "stages.2", "stages.3"),
        ),
    )
}


class Skipped(RuntimeError):
    """A method that would need more memory than allowed."""


@dataclass
class Setup:
    """A case made ready: one backbone with random weights in evaluation mode, and its input."""

    case: Case
    x: Tensor
    seed: int = 0
    budget: float = 8.0  # GB that naive HR-CAM may take
    plain: nn.Module = field(init=False)
    net: HRCAMNet = field(init=False)
    copies: list[nn.Module] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.plain = self.case.backbone().to(self.x.device).eval()
        # maps do not depend on the weights' training, nor does their cost
        self.net = HRCAMNet(self.own(), CLASSES, spatial_dims=self.case.spatial_dims).eval()

    def own(self) -> nn.Module:
        """A copy of the backbone: some tools leave hooks in the network, which must not slow the others down."""
        self.copies.append(copy.deepcopy(self.plain))
        return self.copies[-1]

    def levels(self) -> list[str]:
        """Names of the layers that HR-CAM aggregates."""
        return list(self.case.tap_names or self.net.taps)

    def pooled_by(self, pooling: str) -> HRCAMNet:
        """An HRCAMNet of the same weights."""
        net = copy.deepcopy(self.net)
        net.head.pooling = pooling
        return net


def make_input(case: Case, device: torch.device, batch: int | None = None, seed: int = 0) -> Tensor:
    """Uniform noise of the case's shape, or of another batch size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch or case.shape[0], *case.shape[1:]), generator=generator).to(device)


def naive_bytes(setup: Setup) -> int:
    """Bytes of the up-sampled channels, and of their concatenation."""
    channels = sum(setup.net.head.in_channels)
    return 2 * 4 * setup.x.shape[0] * channels * prod(setup.x.shape[2:])


def naive_class_maps(features: list[Tensor], weight: Tensor, bias: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """The paper, word by word: up-sample every channel of every level, concatenate, pool by mean, weigh.

    Features [B, C_l, *] of each level, weight [K, sum C_l], bias [K] -> logits [B, K] and maps [B, K, *size].
    """
    mode = "bilinear" if len(size) == 2 else "trilinear"
    stack = torch.cat([F.interpolate(f, size=size, mode=mode, align_corners=False) for f in features], 1)
    maps = torch.einsum("kc,bc...->bk...", weight, stack) + bias.view([1, -1] + [1] * len(size))
    return F.linear(stack.flatten(2).mean(2), weight, bias), maps


def plain_forward(setup: Setup) -> Callable[[Tensor], Tensor]:
    return setup.plain


def hrcam_gap(setup: Setup) -> Callable[[Tensor], Tensor]:
    net = setup.pooled_by("gap")
    return lambda x: net.class_maps(x)[1]


def hrcam_lse(setup: Setup) -> Callable[[Tensor], Tensor]:
    net = setup.pooled_by("lse")
    return lambda x: net.class_maps(x)[1]


def hrcam_visualize(setup: Setup) -> Callable[[Tensor], Tensor]:
    return HRCAM(nn_module=setup.pooled_by("lse"))


def hrcam_naive(setup: Setup) -> Callable[[Tensor], Tensor]:
    need = naive_bytes(setup) / 1e9
    if need > setup.budget:
        raise Skipped(f"needs {need:.0f} GB, {setup.budget:g} GB allowed")
    net = setup.net
    return lambda x: naive_class_maps(net.features(x), net.head.weight, net.head.bias, list(x.shape[2:]))[1]


def monai_cam(setup: Setup) -> Callable[[Tensor], Tensor]:
    cam = CAM(nn_module=setup.own(), target_layers=setup.case.last, fc_layers=setup.case.fc)
    return lambda x: cam(x=x)


def monai_gradcam(setup: Setup) -> Callable[[Tensor], Tensor]:
    cam = GradCAM(nn_module=setup.own(), target_layers=setup.case.last)
    return lambda x: cam(x=x, class_idx=CLASS)


def monai_gradcampp(setup: Setup) -> Callable[[Tensor], Tensor]:
    cam = GradCAMpp(nn_module=setup.own(), target_layers=setup.case.last)
    return lambda x: cam(x=x, class_idx=CLASS)


def torchcam_layercam(setup: Setup) -> Callable[[Tensor], Tensor]:
    from torchcam.methods import LayerCAM  # optional: only this method needs it

    net = setup.own()
    cam: Any = LayerCAM(net, list(setup.levels()))

    def run(x: Tensor) -> Tensor:
        # its own fusion, at the input's size as the other methods'
        return cam.fuse_cams(cam(CLASS, net(x)), tuple(x.shape[2:])).unsqueeze(1)

    return run


@dataclass(frozen=True)
class Mode:
    """Precision of the forward pass (`fp32`, or `bf16` by autocast), and whether torch.compile is used."""

    precision: str = "fp32"
    compiled: bool = False


def ready(method: str, setup: Setup, mode: Mode = Mode()) -> Callable[[Tensor], Tensor]:
    """A method as a function of the input; no gradient is recorded but where the method lives on it.

    Raises:
        Skipped: it would need more memory than allowed.
    """
    run = METHODS[method](setup)
    if mode.compiled:
        run = torch.compile(run)
    device = setup.x.device.type

    def call(x: Tensor) -> Tensor:
        with torch.set_grad_enabled(method in GRADIENT), torch.autocast(device, torch.bfloat16, mode.precision == "bf16"):
            return run(x)

    return call


METHODS: dict[str, Callable[[Setup], Callable[[Tensor], Tensor]]] = {
    PLAIN: plain_forward,
    OURS[0]: hrcam_gap,
    OURS[1]: hrcam_lse,
    "HR-CAM, visualize.HRCAM": hrcam_visualize,
    "HR-CAM, naive": hrcam_naive,
    "MONAI CAM": monai_cam,
    GRADIENT[0]: monai_gradcam,
    GRADIENT[1]: monai_gradcampp,
    GRADIENT[2]: torchcam_layercam,
}

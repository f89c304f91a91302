"""Every backbone that HRCAMNet promises to wrap, and a naive HR-CAM to hold it against."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet121, EfficientNetBN, SEResNet50, resnet18, resnet50
from torch import Tensor, nn

from hrcam_monai.networks import StageCNN


def sequential() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


class Block(nn.Module):
    """A user's module with a functional ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class UserNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Block(1, 3, 1), Block(3, 5, 2)
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(self.first(x)).mean((2, 3, 4)))


BACKBONES: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "densenet121-2d": (2, lambda: DenseNet121(2, 1, 2)),
    "resnet18-2d": (2, lambda: resnet18(spatial_dims=2, n_input_channels=1, num_classes=2)),
    "resnet50-2d": (2, lambda: resnet50(spatial_dims=2, n_input_channels=1, num_classes=2)),
    "seresnet50-2d": (2, lambda: SEResNet50(spatial_dims=2, in_channels=1, num_classes=2)),
    "efficientnet-2d": (
        2,
        lambda: EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False),
    ),
    "densenet121-3d": (3, lambda: DenseNet121(3, 1, 2)),
    "resnet18-3d": (3, lambda: resnet18(spatial_dims=3, n_input_channels=1, num_classes=2)),
    "seresnet50-3d": (3, lambda: SEResNet50(spatial_dims=3, in_channels=1, num_classes=2)),
    "stage-2d": (2, lambda: StageCNN(spatial_dims=2)),
    "stage-3d": (3, lambda: StageCNN(spatial_dims=3)),
    "sequential-2d": (2, sequential),
    "user-3d": (3, UserNet),
}


def naive_hrcam(features: list[Tensor], weight: Tensor, bias: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """The paper, word by word: up-sample every channel, concatenate, GAP, one linear layer."""
    mode = "bilinear" if len(size) == 2 else "trilinear"
    stack = torch.cat([F.interpolate(f, size=size, mode=mode, align_corners=False) for f in features], 1)
    logits = F.linear(stack.flatten(2).mean(2), weight, bias)
    maps = torch.einsum("kc,bc...->bk...", weight, stack) + bias.view([1, -1] + [1] * len(size))
    return logits, maps

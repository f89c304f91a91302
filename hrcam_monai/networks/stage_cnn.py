"""The bundle's default backbone: a small VGG-style CNN in 2-D or 3-D, one resolution a stage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Pool
from torch import Tensor, nn

from hrcam_monai.networks.level_head import upsample

__all__ = ["StageCNN"]

LIGHT = 2  # so many of the finest levels take context in voxel by voxel: there a 3 x 3 convolution costs more than the whole CNN


class _TopDownStep(nn.Module):
    """The features of a level, read in the light of the next coarser one: what is bright here matters if it is abnormal there.

    Args:
        spatial_dims: 2 or 3.
        fine: channels of the level, and of the output.
        coarse: channels of the next coarser one.
        kernel_size: of the convolution of both.
    """

    def __init__(self, spatial_dims: int, fine: int, coarse: int, kernel_size: int) -> None:
        super().__init__()
        self.context = Convolution(spatial_dims, coarse, fine, kernel_size=1, conv_only=True)
        self.fuse = Convolution(
            spatial_dims, 2 * fine, fine, kernel_size=kernel_size, norm="BATCH", act="RELU", adn_ordering="NA", bias=False
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """[B, fine, *] and [B, coarse, */2] -> [B, fine, *]."""
        return self.fuse(torch.cat([fine, upsample(self.context(coarse), list(fine.shape[2:]))], dim=1))


class StageCNN(nn.Module):
    """Stages of convolution, batch normalisation and ReLU, with max pooling by 2 between them, then GAP and a linear layer.

    The output of each stage is a level of HR-CAM. The first stage works at the input's own resolution. With `top_down`, each
    level but the coarsest is the stage's output read in the light of the coarser levels, as in a feature pyramid (Lin et al.,
    CVPR 2017) or a U-Net: a fine level alone sees too little to know what it looks at. The classifier itself stays as it is.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: length of the logits.
        channels: feature channels of each stage.
        convs: convolutions of each stage.
        top_down: give the fine levels the coarse ones' context.

    Raises:
        ValueError: `channels` and `convs` differ in length.

    Example:
        >>> StageCNN(spatial_dims=2)(torch.rand(1, 1, 64, 64)).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        channels: Sequence[int] = (12, 24, 32, 48),
        convs: Sequence[int] = (1, 2, 2, 2),
        top_down: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != len(convs):
            raise ValueError(f"channels has {len(channels)} stages, convs has {len(convs)}; give one number a stage.")
        self.level_channels = list(channels)
        stages, last = [], in_channels
        for i, (width, count) in enumerate(zip(channels, convs, strict=True)):
            stage = nn.Sequential()
            if i:
                stage.add_module("pool", Pool[Pool.MAX, spatial_dims](2))
            for j in range(count):
                block = Convolution(
                    spatial_dims, last, width, kernel_size=3, norm="BATCH", act="RELU", adn_ordering="NA", bias=False
                )
                stage.add_module(f"conv{j}", block)
                last = width
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.fc = nn.Linear(last, num_classes)
        pairs = list(pairwise(channels)) if top_down else []
        steps = [_TopDownStep(spatial_dims, fine, coarse, 1 if i < LIGHT else 3) for i, (fine, coarse) in enumerate(pairs)]
        self.top_down = nn.ModuleList(steps[::-1])  # coarse to fine

    def stage_features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, fine to coarse."""
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def level_features(self, x: Tensor) -> list[Tensor]:
        """The levels of HR-CAM, fine to coarse: the output of each stage, with the context of the coarser ones if so made."""
        features = self.stage_features(x)
        for i, step in enumerate(self.top_down):
            features[-2 - i] = step(features[-2 - i], features[-1 - i])
        return features

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> logits [B, num_classes]."""
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.pool(x).flatten(1))

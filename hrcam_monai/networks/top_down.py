"""Levels of HR-CAM that are read in the light of the coarser ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from hrcam_monai.networks.level_head import upsample

__all__ = ["TopDownLevels", "top_down_steps"]

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


def top_down_steps(spatial_dims: int, channels: Sequence[int]) -> nn.ModuleList:
    """The steps from the coarsest of some levels to the finest, for `TopDownLevels`.

    Args:
        spatial_dims: 2 or 3.
        channels: of each level, fine to coarse.

    Example:
        >>> len(top_down_steps(2, [8, 16, 32]))
        2
    """
    steps = [
        _TopDownStep(spatial_dims, fine, coarse, 1 if i < LIGHT else 3) for i, (fine, coarse) in enumerate(pairwise(channels))
    ]
    return nn.ModuleList(steps[::-1])


class TopDownLevels(nn.Module):
    """A backbone that gives its levels itself: the output of each stage, with the context of the coarser ones.

    As in a feature pyramid (Lin et al., CVPR 2017) or a U-Net: a fine level alone sees too little to know what it looks at. The
    classifier itself stays as it is.

    Attributes:
        level_channels: of each level, fine to coarse.
        top_down: what `top_down_steps` makes; empty for levels that are the stages' outputs as they are.
    """

    def stage_features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, fine to coarse."""
        raise NotImplementedError

    def level_parts(self) -> list[nn.Module]:
        """What makes the levels and is no part of the classifier, which teaches it nothing."""
        return [self.top_down]  # type: ignore[list-item]

    def level_features(self, x: Tensor) -> list[Tensor]:
        """The levels of HR-CAM, fine to coarse: the output of each stage, with the context of the coarser ones if so made."""
        features = self.stage_features(x)
        for i, step in enumerate(self.top_down):  # type: ignore[arg-type]
            features[-2 - i] = step(features[-2 - i], features[-1 - i])
        return features

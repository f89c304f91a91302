"""The bundle's default backbone: a small VGG-style CNN in 2-D or 3-D, one resolution a stage."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Pool
from torch import Tensor, nn

from hrcam_monai.networks.top_down import TopDownLevels, top_down_steps

__all__ = ["StageCNN"]


class StageCNN(TopDownLevels):
    """Stages of convolution, batch normalisation and ReLU, with max pooling by 2 between them, then GAP and a linear layer.

    The output of each stage is a level of HR-CAM. The first stage works at the input's own resolution. With `top_down`, each
    level but the coarsest is the stage's output read in the light of the coarser levels (`TopDownLevels`).

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
        self.top_down = top_down_steps(spatial_dims, channels if top_down else [])

    def stage_features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, fine to coarse."""
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> logits [B, num_classes]."""
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.pool(x).flatten(1))

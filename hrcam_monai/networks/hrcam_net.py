"""HRCAMNet: any CNN classifier with an HR-CAM head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from hrcam_monai.networks.level_head import LevelHead
from hrcam_monai.networks.tap import Tap, TapError, record
from hrcam_monai.networks.taps import DEFAULT_SIZE, check_taps, locate_taps
from hrcam_monai.networks.top_down import TopDownLevels

__all__ = ["HRCAMNet"]


class HRCAMNet(nn.Module):
    """A CNN whose feature maps of every resolution are aggregated into class maps at the input's own resolution.

    The backbone is used as it is: its own classifier is run past and ignored. Forward only, so it works under
    no_grad, inference_mode and autocast; scriptable when the backbone has `level_features` (StageCNN).

    Args:
        backbone: a CNN that takes [B, in_channels, *spatial].
        num_classes: K.
        taps: names of the modules whose outputs are the levels; by default `find_taps` chooses.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        pooling: `gap` (the paper) or `lse`; see `LevelHead`.
        sharpness: r of `lse`.
        reference: what maps are evidence against: a class, "mean" of all, or None; see `LevelHead`.
        freeze_backbone: train the head only (the paper's second stage): the CNN gets no gradient and keeps its
            batch statistics; what a backbone makes for its levels alone (`TopDownLevels`) learns with the head.
        input_shape: (1, in_channels, *spatial) of an image that the backbone can take, for backbones made for one
            size; by default 64 a side.

    Raises:
        TapError: a tap that cannot be used (the message lists those that can), or a backbone that cannot run.
        ValueError: spatial_dims is not 2 or 3.

    Example:
        >>> from monai.networks.nets import DenseNet121
        >>> net = HRCAMNet(DenseNet121(2, 1, 2), num_classes=2).eval()
        >>> logits, maps = net.class_maps(torch.rand(1, 1, 96, 96))
        >>> maps.shape
        torch.Size([1, 2, 96, 96])
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        taps: Sequence[str] | None = None,
        spatial_dims: int = 2,
        in_channels: int = 1,
        pooling: str = "gap",
        sharpness: float = 10.0,
        reference: int | str | None = None,
        freeze_backbone: bool = False,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is {spatial_dims}; it must be 2 or 3.")
        shape = tuple(input_shape or (1, in_channels, *[DEFAULT_SIZE] * spatial_dims))
        self.spatial_dims = spatial_dims
        self.listed = taps is None and hasattr(backbone, "level_features")
        if self.listed:  # the backbone gives its levels itself
            located, channels = [], list(backbone.level_channels)  # type: ignore[arg-type]
        else:
            located = check_taps(backbone, taps, shape) if taps is not None else locate_taps(backbone, shape)
            channels = [tap.channels for tap in located]
        self.located = tuple(located)
        self.taps = [tap.name for tap in located]
        self.backbone = backbone
        self.head = LevelHead(channels, num_classes, pooling=pooling, sharpness=sharpness, reference=reference)
        parameter = next(backbone.parameters(), None)
        if parameter is not None:
            self.head.to(parameter.device)
        convert_conv2d_weight_memory_format(self, torch.channels_last)  # up to twice as fast, on CPUs, too
        self.frozen = False
        if freeze_backbone:
            self.freeze_backbone()

    @torch.jit.unused
    def freeze_backbone(self, freeze: bool = True) -> None:
        """Train the head only: the CNN gets no gradient and keeps its batch statistics. False undoes it.

        What a backbone makes for its levels alone (`level_parts`) is not of the CNN, and goes on learning with the head.
        """
        self.frozen = freeze
        self.backbone.requires_grad_(not freeze)
        for part in self._level_parts():
            part.requires_grad_(True)
        for parameter in self.backbone.parameters():
            if not parameter.requires_grad:  # a gradient left from before, even zeroed, would let an optimizer decay it
                parameter.grad = None
        self.train(self.training)

    def train(self, mode: bool = True) -> HRCAMNet:
        """Set the mode; a frozen backbone stays in evaluation mode, but for what it makes for its levels alone."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
            for part in self._level_parts():
                part.train(mode)
        return self

    @torch.jit.unused
    def _level_parts(self) -> list[nn.Module]:
        """What learns though the backbone is frozen: of the package's own backbones what makes their levels alone."""
        return self.backbone.level_parts() if isinstance(self.backbone, TopDownLevels) else []

    @torch.jit.unused
    def _tapped(self, x: Tensor, weighed: bool = False) -> list[Tensor]:
        """Each tap's feature map; weighed as soon as it is there, so that no level is kept longer than the network does."""
        at = {name: i for i, name in enumerate(self.taps)}

        def read(tap: Tap, feature: Tensor) -> Tensor:
            feature = tap.channels_first(feature)
            return self.head.weigh(at[tap.name], feature) if weighed else feature

        with record(self.backbone, self.located, self.spatial_dims, read) as seen:
            self.backbone(x)
        silent = [name for name in self.taps if name not in seen]
        if silent:
            raise TapError(f"Tap '{silent[0]}' put out no feature map in this forward pass; tap a module that always runs.")
        return [seen[name] for name in self.taps]

    def native_maps(self, x: Tensor) -> list[Tensor]:
        """Each level's class maps at its own resolution, without the bias: [B, C, *spatial] -> [B, K, *] each."""
        if torch.jit.is_scripting() or self.listed:
            return self.head.native_maps(self.features(x))
        return self._tapped(x, weighed=True)

    def features(self, x: Tensor) -> list[Tensor]:
        """The feature map of each level, fine to coarse."""
        if torch.jit.is_scripting():
            return self.backbone.level_features(x)  # type: ignore[operator]
        if self.listed:
            return self.backbone.level_features(x)  # type: ignore[operator]
        return self._tapped(x)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> logits [B, K]."""
        return self.head.score_native(self.native_maps(x), list(x.shape[2:]))

    @torch.jit.export
    def class_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, *spatial] -> logits [B, K] and class maps [B, K, *spatial] in logit units; pool(maps) == logits."""
        return self.head.maps_of_native(self.native_maps(x), list(x.shape[2:]))

    @torch.jit.export
    def level_maps(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, C, *spatial] -> logits and each level's share of the class maps; their sum plus the bias is the maps."""
        return self.head.levels_of_native(self.native_maps(x), list(x.shape[2:]))

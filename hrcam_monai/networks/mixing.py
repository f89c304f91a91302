"""Mixtures of images, and the maps they should have: what a map says of a place must hang on that place.

Cross entropy does not care where evidence lies: a map that marks a lesion's flanks, or its neighbourhood, classifies as
well as one that marks the lesion. In a mixture of two images, patch by patch, evidence that hangs on what lies beyond a
patch's border changes; asking the map of the mixture to be the mixture of the maps makes maps local. No mask is needed.
CutMix (Yun et al., ICCV 2019) and CowMix (French et al., 2020) mix so for classification and segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor

__all__ = ["mix", "patches"]

SPREAD = (0.6, 1.4)  # patch sizes drawn, as shares of the scale
SHIFT = 0.7  # the threshold on noise of standard deviation 1 is drawn up to here, either way


def patches(shape: Sequence[int], scale: float, device: torch.device | str = "cpu") -> Tensor:
    """Random irregular patches: smooth noise above a random threshold.

    Args:
        shape: [B, *spatial].
        scale: standard deviation of the noise's smoothing, voxels; about half the width of a patch.
        device: where to make them.

    Returns:
        [B, 1, *spatial], boolean; patches cover 24 to 76 % of an image on average.

    Example:
        >>> patches([2, 32, 32], 5.0).shape
        torch.Size([2, 1, 32, 32])
    """
    low, high = SPREAD
    sigma = scale * (low + (high - low) * float(torch.rand(1)))
    noise = torch.randn(shape[0], 1, *shape[1:], device=device)
    smooth = GaussianFilter(len(shape) - 1, sigma, truncated=3.0).to(device)(noise)
    each = [shape[0]] + [1] * len(shape)
    threshold = SHIFT * (2 * torch.rand(shape[0], device=device) - 1)
    return smooth > threshold.view(each) * smooth.flatten(1).std(1).view(each)


def mix(images: Tensor, maps: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Mix each image of a batch with another of it.

    Args:
        images: [B, C, *spatial].
        maps: their class maps [B, K, *spatial].
        scale: of the `patches`.

    Returns:
        the mixtures [B, C, *spatial], and the same mixtures of the maps [B, K, *spatial], without gradient.
    """
    own = patches([len(images), *images.shape[2:]], scale, images.device)
    other = torch.randperm(len(images), device=images.device)
    return torch.where(own, images, images[other]), torch.where(own, maps, maps[other]).detach()

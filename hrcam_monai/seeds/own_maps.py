"""A network's own class maps as seeds: what it has been taught it now finds on images that it was not sure of before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hrcam_monai.losses import pixel_log_probabilities
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.networks.modes import evaluating
from hrcam_monai.seeds.layer_cam import scaled

__all__ = ["own_maps"]


def own_maps(
    network: HRCAMNet, images: Tensor, labels: Tensor, *, mirrors: Sequence[list[int]] = ([],), power: float = 1.0
) -> Tensor:
    """How likely each voxel shows what its image is labelled with, as the network was taught by earlier seeds (`MapLoss`).

    Args:
        network: trained; its maps are averaged over mirrored images, each mirrored back.
        images: [B, C, *spatial].
        labels: [B].
        mirrors: tensor axes that each reading is flipped along; an empty list is the image as it is.
        power: of the probabilities, scaled to a maximum of 1: what is weak then counts less.

    Returns:
        [B, 1, *spatial] in [0, 1], without gradient.

    Example:
        >>> from hrcam_monai.networks import StageCNN
        >>> network = HRCAMNet(StageCNN(), 2, spatial_dims=2, reference=0)
        >>> own_maps(network, torch.rand(3, 1, 32, 32), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 32, 32])
    """
    with evaluating(network):
        maps = torch.stack([network.class_maps(images.flip(axes))[1].flip(axes) for axes in mirrors]).mean(dim=0)
    logs, shift = pixel_log_probabilities(maps.float(), network.head.reference)
    own = logs[torch.arange(len(labels), device=logs.device), labels + shift].exp()[:, None]
    return scaled(own) ** power

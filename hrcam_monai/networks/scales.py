"""Class maps of an image that is looked at from nearer, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hrcam_monai.networks.level_head import upsample

__all__ = ["across_scales"]


def across_scales(
    maps: Tensor, images: Tensor, maps_of: Callable[[Tensor], Tensor], scales: Sequence[float], pool: Callable[[Tensor], Tensor]
) -> Tensor:
    """The mean of an image's class maps and of those of the image resized, laid back on its grid; it pools to the same scores.

    Enlarged, a small finding covers more cells of the coarse levels. What a network thinks of an image of another size than it
    was trained on may be off as a whole, so each class's mean map is shifted by a constant to the scores of the image's own: the
    other scales say where, and the image as it is says what.

    Args:
        maps: [B, K, *spatial], of the images as they are.
        images: [B, C, *spatial].
        maps_of: images of any size -> their class maps, [B, K, *] on the grid of the image.
        scales: factors of the image's size.
        pool: maps -> scores [B, K], that a constant added to a map moves by that constant, as all of HR-CAM's poolings.

    Returns:
        [B, K, *spatial].

    Example:
        >>> from hrcam_monai.networks import pool_maps
        >>> x = torch.rand(1, 1, 16, 16)
        >>> across_scales(2 * x, x, lambda image: 2 * image, [1.5], lambda m: pool_maps(m, "lse")).shape
        torch.Size([1, 1, 16, 16])
    """
    size = list(images.shape[2:])
    found = [upsample(maps_of(upsample(images, [round(n * scale) for n in size])), size) for scale in scales]
    mean = torch.stack([maps, *found]).mean(dim=0)
    shift = pool(maps) - pool(mean)
    return mean + shift.view(*shift.shape, *[1] * len(size))

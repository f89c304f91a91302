"""Class maps of an image that is looked at from nearer, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hrcam_monai.networks.level_head import upsample

__all__ = ["across_scales"]


def across_scales(
    maps: Tensor, images: Tensor, maps_of: Callable[[Tensor], Tensor], scales: Sequence[float], *, kept: int | None = None
) -> Tensor:
    """The mean of an image's class maps and of those of the image resized, laid back on its grid.

    Enlarged, a small finding covers more cells of the coarse levels.

    Args:
        maps: [B, K, *spatial], of the images as they are.
        images: [B, C, *spatial].
        maps_of: images of any size -> their class maps, [B, K, *] on the grid of the image.
        scales: factors of the image's size.
        kept: spatial axis that keeps its size: that of the slices of a volume.

    Returns:
        [B, K, *spatial].

    Example:
        >>> x = torch.rand(1, 1, 16, 16)
        >>> across_scales(2 * x, x, lambda image: 2 * image, [1.5]).shape
        torch.Size([1, 1, 16, 16])
    """
    size = list(images.shape[2:])
    sizes = [[n if axis == kept else round(n * scale) for axis, n in enumerate(size)] for scale in scales]
    found = [_resized(maps_of(_resized(images, other, kept)), size, kept) for other in sizes]
    return torch.stack([maps, *found]).mean(dim=0)


def _resized(x: Tensor, size: list[int], kept: int | None) -> Tensor:
    """[B, C, *spatial] at another size; slices as the images that they are, in a hundredth of a volume's time."""
    if kept is None:
        return upsample(x, size)
    slices = x.movedim(kept + 2, 1)
    found = upsample(slices.flatten(0, 1), [n for axis, n in enumerate(size) if axis != kept])
    return found.unflatten(0, slices.shape[:2]).movedim(1, kept + 2)

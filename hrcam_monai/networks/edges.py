"""Move a map's values along the image's own edges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["along_edges"]


def _neighbours(x: Tensor, reach: Sequence[int]) -> Tensor:
    """[B, C, *spatial] -> [B, C, N, *spatial]: of each voxel its 8 (26) neighbours at each distance; at borders, the border."""
    dims = x.ndim - 2
    steps = [s for s in product((-1, 0, 1), repeat=dims) if any(s)]
    found = []
    for distance in reach:
        padded = F.pad(x, [distance] * 2 * dims, mode="replicate")
        for step in steps:
            view = padded
            for axis, (way, size) in enumerate(zip(step, x.shape[2:], strict=True), 2):
                view = view.narrow(axis, distance * (1 + way), size)
            found.append(view)
    return torch.stack(found, dim=2)


def along_edges(
    maps: Tensor, images: Tensor, steps: int = 10, reach: Sequence[int] = (1, 2, 4), contrast: float = 0.3, *, beside: int = 0
) -> Tensor:
    """Pixel-adaptive refinement: each value becomes the mean of its neighbours', those of like intensity weighing most.

    Coarse maps take on the outlines of what they lie on. A mean of values stays within their range. Source: PAMR (Araslanov and
    Roth, CVPR 2020), equations 5 and 6.

    Args:
        maps: [B, K, *spatial].
        images: [B, C, *spatial], of any scale of intensity.
        steps: how often values move.
        reach: distances of the neighbours, voxels.
        contrast: a difference of so many local standard deviations divides a neighbour's weight by e.
        beside: so many slices beside each image follow its own channels (`with_neighbours`); their edges are not the map's.

    Returns:
        [B, K, *spatial].

    Raises:
        ValueError: maps and images differ in shape.

    Example:
        >>> along_edges(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)).shape
        torch.Size([1, 1, 16, 16])
    """
    if len(maps) != len(images) or maps.shape[2:] != images.shape[2:]:
        raise ValueError(f"maps are {tuple(maps.shape)}, images {tuple(images.shape)}; they must be on one grid.")
    images = images[:, : images.shape[1] // (1 + beside)]
    around = _neighbours(images, reach)
    spread = around.std(dim=2, keepdim=True)
    unlike = (around - images.unsqueeze(2)).abs() / (contrast * spread + 1e-8)
    weights = (-unlike).mean(dim=1, keepdim=True).softmax(dim=2)
    for _ in range(steps):
        maps = (_neighbours(maps, reach) * weights).sum(dim=2)
    return maps

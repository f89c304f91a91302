"""Which images are of one person, and which show about the same place in about the same way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["numbered", "sketches"]

SKETCH = 16  # voxels an axis of the picture that tells


def sketches(images: Tensor) -> Tensor:
    """Of each image a coarse picture as a vector of length 1; the product of two is their correlation.

    Args:
        images: [N, C, *spatial].

    Returns:
        [N, D].

    Example:
        >>> found = sketches(torch.rand(2, 1, 32, 32).repeat(2, 1, 1, 1))
        >>> float(found[0] @ found[2]).__round__(3)
        1.0
    """
    coarse = F.interpolate(images, [min(n, SKETCH) for n in images.shape[2:]], mode="area").flatten(1)
    return F.normalize(coarse - coarse.mean(dim=1, keepdim=True))


def numbered(names: Sequence[Hashable]) -> Tensor:
    """The number of each name, in order of first appearance.

    Example:
        >>> numbered(["b", "a", "b"])
        tensor([0, 1, 0])
    """
    numbers = {name: n for n, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])

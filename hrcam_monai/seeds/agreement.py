"""Where the maps of one person's images agree."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor

from hrcam_monai.seeds.likeness import numbered, sketches

__all__ = ["agreement"]


def agreement(maps: Tensor, images: Tensor, people: Sequence[Hashable], *, likeness: float = 0.8, blur: float = 2.0) -> Tensor:
    """Of each map the mean of the maps of the same person's images that look alike, its own among them, blurred.

    Neighbouring slices of a person show one finding at about one place, and what misleads a network in one of them, a vessel or
    an edge, is not in the next.

    Args:
        maps: [N, 1, *spatial], not negative, each scaled to the same maximum.
        images: [N, C, *spatial], what they are of.
        people: whom each image is of.
        likeness: least correlation of coarse pictures of two images that show about the same.
        blur: standard deviation of the Gaussian, voxels: from slice to slice a finding shifts and changes its size.

    Returns:
        [N, 1, *spatial], within the range of `maps`.

    Raises:
        ValueError: maps, images and people are not of one number.

    Example:
        >>> agreement(torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32), ["a", "b"]).shape
        torch.Size([2, 1, 32, 32])
    """
    if not len(maps) == len(images) == len(people):
        raise ValueError(f"{len(maps)} maps, {len(images)} images and {len(people)} names of people; give as many of each.")
    alike, smooth = sketches(images), GaussianFilter(images.ndim - 2, blur).to(maps.device)
    person, found = numbered(people).to(images.device), torch.empty_like(maps)
    for own in person.unique():
        rows = torch.nonzero(person == own)[:, 0]
        family = (alike[rows] @ alike[rows].T > likeness).to(maps.dtype)
        family.fill_diagonal_(1.0)
        with torch.no_grad():
            found[rows] = torch.tensordot(family / family.sum(dim=1, keepdim=True), smooth(maps[rows]), dims=1)
    return found

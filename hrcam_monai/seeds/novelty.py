"""What an image shows that the images of other people do not, place by place, whatever its label."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.networks.level_head import upsample

__all__ = ["novelty"]

SHRINK = 2  # patches are compared on a grid so much coarser: what is unusual is wider than a voxel
SKETCH = 16  # voxels an axis of the picture that tells which images show the same place


def novelty(images: Tensor, people: Sequence[Hashable], *, neighbours: int = 20, reach: int = 1, patch: int = 7) -> Tensor:
    """The mean squared difference of each place's surroundings from the best fit among the images most like it, one a person.

    Anatomy is common to people, disease is not: what none of the nearest images of other people has in about the same place is
    unlike them. It needs no label and no training, and tells nothing of the kind of finding. Patches are compared as in
    normative models of appearance (non-local patch matching: Buades et al., CVPR 2005; Coupé et al., NeuroImage 2011).

    Args:
        images: [N, C, *spatial], of like contrast, scale and orientation.
        people: whom each image is of; no image is held against another of the same person.
        neighbours: images of other people that each one is held against, the most like it, one a person.
        reach: steps of the coarser grid that a patch may lie elsewhere in another person.
        patch: its width, steps of the coarser grid.

    Returns:
        [N, 1, *spatial], not negative.

    Raises:
        ValueError: one person alone, or not one name an image.

    Example:
        >>> images = torch.zeros(3, 1, 32, 32)
        >>> images[0, :, 8:16, 8:16] = 1
        >>> novelty(images, ["a", "b", "c"]).amax(dim=(1, 2, 3)) > 0
        tensor([ True, False, False])
    """
    if len(people) != len(images):
        raise ValueError(f"{len(images)} images and {len(people)} names of people; each image needs one.")
    names = {name: n for n, name in enumerate(dict.fromkeys(people))}
    if len(names) < 2:
        raise ValueError("what is unlike other people cannot be told from the images of one person.")
    person = torch.tensor([names[p] for p in people], device=images.device)
    dims, size = images.ndim - 2, list(images.shape[2:])
    shrunk = F.interpolate(images, [max(n // SHRINK, 1) for n in size], mode="area")
    sketches = F.interpolate(images, [min(n, SKETCH) for n in size], mode="area").flatten(1)
    sketches = F.normalize(sketches - sketches.mean(dim=1, keepdim=True))
    found = []
    for image, sketch, own in tqdm(
        zip(shrunk, sketches, person, strict=True), desc="novelty", total=len(images), unit="image", leave=False, delay=1
    ):
        near = _nearest(sketches @ sketch, person, int(own), len(names), neighbours)
        found.append(_misfit(image[None], shrunk[near], reach, patch, dims))
    return upsample(torch.cat(found), size)


def _nearest(likeness: Tensor, person: Tensor, own: int, number: int, neighbours: int) -> Tensor:
    """Of the people most like an image, without its own, the image most like it: indices."""
    best = likeness.new_full([number], -torch.inf).scatter_reduce(0, person, likeness, "amax")
    best[own] = -torch.inf
    chosen = best.topk(min(neighbours, number - 1)).indices
    return torch.stack([likeness.masked_fill(person != p, -torch.inf).argmax() for p in chosen])


def _misfit(image: Tensor, others: Tensor, reach: int, patch: int, dims: int) -> Tensor:
    """[1, C, *s], [N, C, *s] -> [1, 1, *s]: the smallest mean squared difference over the others and their displacements."""
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
    wide = F.pad(others, [reach] * 2 * dims, mode="replicate")
    least = image.new_full([1, 1, *image.shape[2:]], torch.inf)
    for start in product(range(2 * reach + 1), repeat=dims):
        moved = wide
        for axis, first in enumerate(start, 2):
            moved = moved.narrow(axis, first, image.shape[axis])
        unlike = (image - moved).square().mean(dim=1, keepdim=True)
        near = mean(F.pad(unlike, [patch // 2] * 2 * dims, mode="replicate"), patch, stride=1)
        least = torch.minimum(least, near.amin(dim=0, keepdim=True))
    return least

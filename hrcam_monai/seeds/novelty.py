"""What an image shows that the images of other people do not, place by place, whatever its label."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.networks.level_head import upsample
from hrcam_monai.seeds.likeness import numbered, sketches

__all__ = ["novelty"]

SHRINK = 2  # patches are compared on a grid so much coarser: what is unusual is wider than a voxel
TINY = 1e-3  # of a feature: a channel that hardly varies is not made to


def novelty(
    images: Tensor,
    people: Sequence[Hashable],
    *,
    features: Tensor | None = None,
    grey: Tensor | None = None,
    neighbours: int = 20,
    reach: int = 1,
    patch: int = 7,
) -> Tensor:
    """The mean squared difference of each place's surroundings from the best fit among the images most like it, one a person.

    Anatomy is common to people, disease is not: what none of the nearest images of other people has in about the same place is
    unlike them. It needs no label and no training, and tells nothing of the kind of finding. Patches are compared as in
    normative models of appearance (non-local patch matching: Buades et al., CVPR 2005; Coupé et al., NeuroImage 2011).

    Args:
        images: [N, C, *spatial], of like contrast, scale and orientation.
        people: whom each image is of; no image is held against another of the same person.
        features: [N, F, *coarser], what a network sees in them, not negative; the answer is then the geometric mean of the
            novelty of both.
        grey: [N, 1, *spatial], the novelty of these images without features, where it is known.
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
    person = numbered(people).to(images.device)
    number = len(person.unique())
    if number < 2:
        raise ValueError("what is unlike other people cannot be told from the images of one person.")
    alike, size = sketches(images), list(images.shape[2:])
    near = [_nearest(alike @ sketch, person, int(own), number, neighbours) for sketch, own in zip(alike, person, strict=True)]
    if grey is None:
        shrunk = F.interpolate(images, [max(n // SHRINK, 1) for n in size], mode="area")
        grey = upsample(_misfits(shrunk, near, reach, patch), size)
    if features is None:
        return grey
    seen = features.clamp(min=0).sqrt()  # so that few strong features do not decide alone
    spread = seen.transpose(0, 1).flatten(1).std(dim=1).clamp(min=TINY)
    seen = seen / spread.view([1, -1] + [1] * len(size))
    return (grey * upsample(_misfits(seen, near, reach, 1), size)).sqrt()


def _nearest(likeness: Tensor, person: Tensor, own: int, number: int, neighbours: int) -> Tensor:
    """Of the people most like an image, without its own, the image most like it: indices."""
    best = likeness.new_full([number], -torch.inf).scatter_reduce(0, person, likeness, "amax")
    best[own] = -torch.inf
    chosen = best.topk(min(neighbours, number - 1)).indices
    return torch.stack([likeness.masked_fill(person != p, -torch.inf).argmax() for p in chosen])


def _misfits(images: Tensor, near: Sequence[Tensor], reach: int, patch: int) -> Tensor:
    """[N, C, *s] and of each image those it is held against -> [N, 1, *s]."""
    told = tqdm(near, desc="novelty", unit="image", leave=False, delay=1)
    return torch.cat([_misfit(images[i : i + 1], images[others], reach, patch) for i, others in enumerate(told)])


def _misfit(image: Tensor, others: Tensor, reach: int, patch: int) -> Tensor:
    """[1, C, *s], [N, C, *s] -> [1, 1, *s]: the smallest mean squared difference over the others and their displacements."""
    dims = image.ndim - 2
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

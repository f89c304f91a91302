"""Does the network use what the map marks? Deletion and insertion, completeness, stability: no masks needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor

from hrcam_monai.networks.level_head import pool_maps

__all__ = ["Curves", "blurred", "completeness_error", "correlation", "deletion_insertion", "stability"]

Score = Callable[[Tensor], Tensor]  # [N, C, *spatial] -> [N], the score whose evidence the map shows


def completeness_error(logits: Tensor, maps: Tensor, *, pooling: str = "lse", sharpness: float = 10.0) -> Tensor:
    """Largest |pool(map) - logit| over the classes: [B, K], [B, K, *spatial] -> [B]. HR-CAM's is rounding error.

    Example:
        >>> completeness_error(torch.ones(1, 2), torch.ones(1, 2, 4, 4), "gap")
        tensor([0.])
    """
    return (pool_maps(maps.float(), pooling, sharpness) - logits.float()).abs().amax(1)


def blurred(image: Tensor, *, sigma: float = 6.0) -> Tensor:
    """An image without detail, for filling in: [C, *spatial] -> the same; air (0 in all channels) stays as it is.

    The blur is normalised over the tissue, so that the head's outline neither darkens nor bleeds: what is filled in
    looks like a smooth brain, not like a hole, which would be a new lesion.

    Example:
        >>> blurred(torch.ones(1, 8, 8)).allclose(torch.ones(1, 8, 8))
        True
    """
    tissue = (image != 0).any(0, keepdim=True).to(image)
    smooth = GaussianFilter(image.ndim - 1, sigma).to(image.device)
    weight = smooth(tissue[None])[0].clamp_min(1e-6)
    return torch.where(tissue > 0, smooth((image * tissue)[None])[0] / weight, image)


class Curves(NamedTuple):
    """Scores while voxels are taken away, or put back, in the order of the map, and the areas under both.

    Attributes:
        fractions: [S] share of the voxels changed.
        deletion: [S] scores; a faithful map makes them fall early.
        insertion: [S] scores; a faithful map makes them rise early.
        deletion_auc: mean height of the deletion curve; lower is better.
        insertion_auc: mean height of the insertion curve; higher is better.
    """

    fractions: Tensor
    deletion: Tensor
    insertion: Tensor
    deletion_auc: float
    insertion_auc: float


@torch.no_grad()
def deletion_insertion(
    heat: Tensor, image: Tensor, score: Score, *, steps: int = 16, share: float = 1.0, fill: Tensor | None = None, batch: int = 16
) -> Curves:
    """Replace voxels by a blurred image in the order of the map, and the other way round (Petsiuk et al., BMVC 2018).

    Only voxels of tissue are ordered and counted. The shares grow quadratically, because focal findings are small:
    even steps would jump over them.

    Args:
        heat: [*spatial].
        image: [C, *spatial].
        score: gives the score of the class whose map this is, such as its probability.
        steps: points of the curve after the first.
        share: largest share of the tissue that is changed; below 1 looks at the top of the map only.
        fill: [C, *spatial] what voxels are replaced by; a blurred image by default, which is in distribution.
        batch: images a call of `score`.

    Raises:
        ValueError: map and image are not on one grid, or `share` is not in (0, 1].

    Example:
        >>> image = torch.zeros(1, 8, 8) + 1.0
        >>> image[0, 2, 3] = 9.0
        >>> heat = (image[0] > 1).float()
        >>> curves = deletion_insertion(heat, image, lambda x: x.amax((1, 2, 3)))
        >>> bool(curves.deletion_auc < curves.insertion_auc)
        True
    """
    if heat.shape != image.shape[1:]:
        raise ValueError(f"map is {tuple(heat.shape)}, image is {tuple(image.shape[1:])}; they must be on one grid.")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must lie in (0, 1].")
    fill = blurred(image) if fill is None else fill
    order = torch.where((image != 0).any(0), heat.to(image.device), -torch.inf).flatten().argsort(descending=True, stable=True)
    tissue = int((image != 0).any(0).sum())
    fractions = torch.linspace(0, 1, steps + 1) ** 2 * share
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    rank = rank.view(heat.shape)

    def curve(start: Tensor, end: Tensor) -> Tensor:
        scores = []
        for part in fractions.split(batch):
            changed = [torch.where(rank < round(float(f) * tissue), end, start) for f in part]
            scores.append(score(torch.stack(changed)).float().cpu())
        return torch.cat(scores)

    deletion, insertion = curve(image, fill), curve(fill, image)
    areas = [float(np.trapezoid(c.numpy(), fractions.numpy())) / share for c in (deletion, insertion)]
    return Curves(fractions, deletion, insertion, *areas)


def correlation(a: Tensor, b: Tensor, inside: Tensor | None = None) -> float:
    """Pearson correlation of two maps of one shape, in the voxels `inside`; NaN where one is constant.

    Example:
        >>> round(correlation(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0, 5.0])), 6)
        1.0
    """
    u, v = (m[inside].double() if inside is not None else m.double().flatten() for m in (a, b))
    u, v = u - u.mean(), v - v.mean()
    norm = float(u.norm() * v.norm())
    return float((u * v).sum()) / norm if norm > 0 else float("nan")


@torch.no_grad()
def stability(read: Callable[[Tensor], Tensor], image: Tensor, *, noise: float = 0.02, draws: int = 3, seed: int = 0) -> float:
    """Mean correlation, inside the tissue, of a map with that of the same image under small noise; 1 is stable.

    Args:
        read: [1, C, *spatial] -> map [*spatial].
        image: [C, *spatial].
        noise: standard deviation of the noise, in standard deviations of the tissue's intensity.
        draws: how many noisy images.
        seed: of the noise.

    Example:
        >>> stability(lambda x: x[0, 0], torch.rand(1, 32, 32)) > 0.99
        True
    """
    tissue = (image != 0).any(0)
    generator = torch.Generator().manual_seed(seed)
    scale = noise * float(image[:, tissue].std())
    straight = read(image[None])
    values = []
    for _ in range(draws):
        shaken = image + torch.randn(image.shape, generator=generator).to(image) * scale * tissue
        values.append(correlation(straight, read(shaken[None]), tissue.to(straight.device)))
    return float(np.mean(values))

"""What an image is like, in numbers: its size, its intensities, its grain, and what the network sees in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrcam_monai.networks.modes import evaluating

__all__ = ["describe", "features_of"]

QUANTILES = (0.05, 0.15, 0.25, 0.5, 0.75, 0.85, 0.95, 0.99)  # below, the edge that stripping leaves decides
PARTS = 4  # of each axis, that the layout tells apart
BATCH = 32  # slices at once


def _size_of(image: Tensor) -> Tensor:
    """How much of the grid is tissue, and over how much of each axis it reaches: [1 + dims]."""
    tissue = (image != 0).any(dim=0)
    reach = []
    for axis in range(tissue.ndim):
        seen = tissue.movedim(axis, 0).flatten(1).any(dim=1).nonzero()
        reach.append((seen[-1] - seen[0] + 1) / tissue.shape[axis] if len(seen) else seen.new_zeros(1))
    return torch.cat([tissue.float().mean().view(1), *reach])


def _intensities_of(image: Tensor) -> Tensor:
    """Quantiles of the tissue's intensities, [C * 8]; the weighting of a scan and its contrast show here."""
    at = torch.tensor(QUANTILES, device=image.device)
    return torch.cat([_some(channel[channel != 0]).quantile(at) for channel in image])


def _layout_of(image: Tensor) -> Tensor:
    """The mean of each of 4 parts an axis, [4 ** dims]: what lies where, so how a scan is turned and what part it shows."""
    pool = F.adaptive_avg_pool2d if image.ndim == 3 else F.adaptive_avg_pool3d
    return pool(image.mean(dim=0, keepdim=True), PARTS).flatten()


def _grain_of(image: Tensor) -> Tensor:
    """How unlike neighbours are along each axis, relative to the spread of the tissue, as logarithm: [dims]; noise and blur."""
    spread = _some(image[image != 0]).std().clamp(min=1e-6)
    found = []
    for axis in range(1, image.ndim):
        near, next_ = image.narrow(axis, 0, image.shape[axis] - 1), image.narrow(axis, 1, image.shape[axis] - 1)
        steps = (near - next_)[(near != 0) & (next_ != 0)].abs()
        found.append((_some(steps).median() / spread).clamp(1e-4, 1e4).log().view(1))
    return torch.cat(found)


def _some(values: Tensor, most: int = 1_000_000) -> Tensor:
    """Values evenly picked, for quantiles of a large scan; a zero where there are none."""
    return values[:: len(values) // most + 1] if len(values) > 1 else values.new_zeros(2)


@torch.no_grad()
def features_of(image: Tensor, network: nn.Module, slice_axis: int | None = None) -> Tensor:
    """The mean of each channel of each level of the network, over the image, or over its slices that show tissue."""
    parts = image[None] if slice_axis is None else image.movedim(slice_axis + 1, 0)
    shown = (parts != 0).flatten(1).any(dim=1)
    parts = parts[shown] if bool(shown.any()) else parts[:1]
    with evaluating(network):
        means = [
            torch.cat([level.float().flatten(2).mean(dim=2) for level in network.features(part)], dim=1)  # type: ignore[operator]
            for part in parts.split(BATCH)
        ]
    return torch.cat(means).mean(dim=0)


def describe(image: Tensor, network: nn.Module, *, slice_axis: int | None = None) -> dict[str, Tensor]:
    """Descriptors of an image as the network is given it, by what they tell.

    Args:
        image: [C, *spatial], preprocessed, 0 in air.
        network: an HRCAMNet; of one without `features`, as an exported one, the image alone is described.
        slice_axis: of a volume that a 2-D network runs along; None where it takes the image whole.

    Returns:
        vectors, float32, on the CPU.

    Example:
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> net = HRCAMNet(StageCNN(), 2, spatial_dims=2)
        >>> {name: len(v) for name, v in describe(torch.rand(1, 32, 32), net).items()}
        {'size': 3, 'layout': 16, 'intensities': 8, 'grain': 2, 'features': 116}
    """
    image = image.as_subclass(Tensor)  # a MetaTensor's measures would carry its metadata
    measures: dict[str, Callable[[Tensor], Tensor]] = {
        "size": _size_of,
        "layout": _layout_of,
        "intensities": _intensities_of,
        "grain": _grain_of,
    }
    if hasattr(network, "features"):
        measures["features"] = lambda x: features_of(x, network, slice_axis)
    return {name: measure(image).float().cpu() for name, measure in measures.items()}

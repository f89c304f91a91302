"""A map must depend on what the network has learnt: cascading weight randomisation (Adebayo et al., NeurIPS 2018)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.metrics.faithfulness import correlation

__all__ = ["Step", "layers_from_output", "randomization_curve", "randomized"]


def randomized(module: nn.Module) -> None:
    """Draw a module's own parameters anew, as at its initialisation; batch statistics are forgotten."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        nn.init.normal_(parameter, std=float(parameter.detach().std()) if parameter.numel() > 1 else 1.0)


def layers_from_output(network: nn.Module) -> list[str]:
    """Names of the modules with parameters of their own, from the output back to the input (order of definition)."""
    return [n for n, m in network.named_modules() if next(m.parameters(recurse=False), None) is not None][::-1]


class Step(NamedTuple):
    """Attributes: the layer randomised last; mean correlation with the original maps; mean of its absolute value."""

    layer: str
    correlation: float
    absolute: float


@torch.no_grad()
def randomization_curve(
    network: nn.Module,
    read: Callable[[nn.Module, Tensor], Tensor],
    images: Sequence[Tensor],
    *,
    draws: int = 5,
    seed: int = 0,
    every: int = 1,
) -> list[Step]:
    """Correlation of maps with the original ones while the network's layers are randomised one after another.

    The network given is left as it is. One draw of random weights may by chance give a map like the original, or its
    negative; the mean over draws tells how much of the map is owed to training.

    Args:
        network: a trained network.
        read: (network, [1, C, *spatial]) -> map [*spatial].
        images: [C, *spatial] each; correlations are taken inside the tissue (not 0) and averaged.
        draws: of random weights.
        seed: of the random weights.
        every: read the maps after every so many layers; the last is always read.

    Returns:
        one step a layer, from the output to the input.

    Example:
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> net = HRCAMNet(StageCNN(channels=(4, 8), convs=(1, 1)), num_classes=2).eval()
        >>> read = lambda n, x: n.class_maps(x)[1][0, 1]
        >>> curve = randomization_curve(net, read, [torch.rand(1, 16, 16)], draws=2)
        >>> curve[0].layer
        'head'
    """
    originals = [read(network, image[None]) for image in images]
    names = layers_from_output(network)
    kept = [n for i, n in enumerate(names, 1) if i % every == 0 or i == len(names)]
    found: dict[str, list[float]] = {name: [] for name in kept}
    with torch.random.fork_rng(devices=[]), tqdm(total=draws * len(kept), desc="randomise", unit="layer") as bar:
        torch.manual_seed(seed)
        for _ in range(draws):
            changed = copy.deepcopy(network)
            modules = dict(changed.named_modules())
            for name in names:
                randomized(modules[name])
                if name in found:
                    found[name] += [
                        correlation(old, read(changed, image[None]), (image != 0).any(0).to(old.device))
                        for old, image in zip(originals, images, strict=True)
                    ]
                    bar.update()
    return [Step(name, _mean(values), _mean([abs(v) for v in values])) for name, values in found.items()]


def _mean(values: Sequence[float]) -> float:
    """Of those that are defined; a constant map correlates with nothing."""
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else 0.0

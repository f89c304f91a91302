"""LayerCAM of every resolution of a classifier, averaged: where its first maps come from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hrcam_monai.networks.level_head import upsample
from hrcam_monai.networks.modes import evaluating
from hrcam_monai.networks.tap import Tap, record

__all__ = ["layer_cam", "middle_features", "mirrored_layer_cam", "scaled"]


def scaled(maps: Tensor) -> Tensor:
    """Maps [B, 1, *spatial], not negative, each divided by its maximum; an empty one stays empty.

    Example:
        >>> scaled(torch.tensor([[[2.0, 4.0]]]))
        tensor([[[0.5000, 1.0000]]])
    """
    top = maps.flatten(1).amax(1).clamp(min=1e-12)
    return maps / top.view([-1] + [1] * (maps.ndim - 1))


def layer_cam(classifier: nn.Module, images: Tensor, labels: Tensor, taps: Sequence[Tap]) -> Tensor:
    """The mean over the taps of LayerCAM (Jiang et al., TIP 2021, equation 7), each map scaled to a maximum of 1.

    The score is the label's logit against the mean of all, which is what the softmax sees.

    Args:
        classifier: puts out logits [B, K].
        images: [B, C, *spatial].
        labels: [B].
        taps: of it; see `locate_taps`.

    Returns:
        [B, 1, *spatial] in [0, 1], without gradient.

    Example:
        >>> from hrcam_monai.networks import StageCNN, locate_taps
        >>> net = StageCNN()
        >>> layer_cam(net, torch.rand(2, 1, 32, 32), torch.tensor([0, 1]), locate_taps(net, (1, 1, 32, 32))).shape
        torch.Size([2, 1, 32, 32])
    """
    size = list(images.shape[2:])
    # the gradient begins at the image, so that it also reaches features of layers whose weights are frozen
    with evaluating(classifier), torch.enable_grad(), record(classifier, taps, len(size)) as seen:
        logits = classifier(images.detach().requires_grad_())
        score = logits.gather(1, labels.view(-1, 1)).sum() - logits.mean(dim=1).sum()
        features = [seen[tap.name] for tap in taps]
        gradients = torch.autograd.grad(score, features)
    total = torch.zeros(len(images), 1, *size, device=images.device)
    for tap, feature, gradient in zip(taps, features, gradients, strict=True):
        own = tap.channels_first(feature.detach() * gradient.clamp(min=0)).sum(dim=1, keepdim=True).clamp(min=0).float()
        total += scaled(upsample(own, size))
    return total / len(features)


def mirrored_layer_cam(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    taps: Sequence[Tap],
    *,
    mirrors: Sequence[list[int]] = ([],),
    power: float = 1.0,
) -> Tensor:
    """The mean of `layer_cam` over mirrored images, each mirrored back, to a power: what is weak in a map then counts less.

    Args:
        classifier, images, labels, taps: see `layer_cam`.
        mirrors: tensor axes that each reading is flipped along; an empty list is the image as it is.
        power: of each map, before the mean.

    Returns:
        [B, 1, *spatial] in [0, 1], without gradient.
    """
    read = [layer_cam(classifier, images.flip(axes), labels, taps).flip(axes) ** power for axes in mirrors]
    return torch.stack(read).mean(dim=0)


@torch.no_grad()
def middle_features(classifier: nn.Module, images: Tensor, taps: Sequence[Tap]) -> Tensor:
    """What the classifier sees at its middle level: coarse enough to know a texture, fine enough to place it.

    Args:
        classifier, images, taps: see `layer_cam`.

    Returns:
        [B, F, *coarser].
    """
    tap = taps[len(taps) // 2]
    with evaluating(classifier), record(classifier, [tap], images.ndim - 2) as seen:
        classifier(images)
    return tap.channels_first(seen[tap.name]).float()

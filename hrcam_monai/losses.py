"""The training loss on what `HRCAMInferer` returns."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MapLoss", "pixel_log_probabilities"]


def pixel_log_probabilities(maps: Tensor, reference: int | str | None) -> tuple[Tensor, int]:
    """Class maps as a classification of every voxel, background among the classes.

    Where a class is the reference, whose map is zero, it is the background. Otherwise all classes are findings, and the
    background is one more class with a map of zero: "none of these".

    Args:
        maps: [B, K, *spatial].
        reference: of the head.

    Returns:
        logarithms of the probabilities, [B, K, *spatial] or with the background in front [B, K + 1, *spatial]; and where a
        class's label stands in it, counted from its own index: 0 or 1.

    Example:
        >>> logs, shift = pixel_log_probabilities(torch.zeros(1, 3, 4, 4), None)
        >>> logs.shape, shift
        (torch.Size([1, 4, 4, 4]), 1)
    """
    if isinstance(reference, int):
        return maps.log_softmax(dim=1), 0
    return torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1).log_softmax(dim=1), 1


class MapLoss(nn.Module):
    """Cross entropy of the logits, and what the class maps cost besides: cross entropy does not care where evidence lies.

    `l1` times the mean absolute value of the maps keeps them sparse. `consistency` times the mean squared difference
    between the maps of mixed images and the mixtures of the images' maps keeps them local (`hrcam_monai.networks.mixing`).

    `seeds` times the cross entropy of every voxel, between the label's class and the background, teaches the maps what
    `hrcam_monai.seeds` knows of each image.

    Args:
        l1: weight of the maps' mean absolute value.
        consistency: weight of the mixtures, which `HRCAMInferer(mixing=...)` makes.
        seeds: weight of the seeds, where the target has some.
        reference: of the network's head.

    Example:
        >>> MapLoss()({"logits": torch.zeros(1, 2), "maps": torch.zeros(1, 2, 4, 4)}, torch.tensor([1]))
        tensor(0.6931)
    """

    def __init__(
        self, *, l1: float = 0.0, consistency: float = 0.0, seeds: float = 0.0, reference: int | str | None = None
    ) -> None:
        super().__init__()
        self.l1 = l1
        self.consistency = consistency
        self.seeds = seeds
        self.reference = reference

    def forward(self, pred: Mapping[str, Tensor], target: Tensor | Mapping[str, Tensor]) -> Tensor:
        """`pred` of the inferer, and labels [B], or a mapping with `label` and `seeds` [B, 1, *spatial] -> a scalar."""
        label = (target["label"] if isinstance(target, Mapping) else target).long().reshape(-1)
        loss = F.cross_entropy(pred["logits"], label)
        if self.l1 and "maps" in pred:
            loss = loss + self.l1 * pred["maps"].abs().mean()
        if self.consistency and "mixed" in pred:
            loss = loss + self.consistency * F.mse_loss(pred["mixed"], pred["expected"])
        if self.seeds and "maps" in pred and isinstance(target, Mapping):
            loss = loss + self.seeds * self._of_seeds(pred["maps"], label, target["seeds"][:, 0])
        return loss

    def _of_seeds(self, maps: Tensor, label: Tensor, seeds: Tensor) -> Tensor:
        logs, shift = pixel_log_probabilities(maps, self.reference)
        own = logs[torch.arange(len(label), device=label.device), label + shift]
        background = logs[:, self.reference if isinstance(self.reference, int) else 0]
        return -(seeds * own + (1 - seeds) * background).mean()

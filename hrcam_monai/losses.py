"""The training loss on what `HRCAMInferer` returns."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MapLoss(nn.Module):
    """Cross entropy of the logits, and what the class maps cost besides: cross entropy does not care where evidence lies.

    `l1` times the mean absolute value of the maps keeps them sparse. `consistency` times the mean squared difference
    between the maps of mixed images and the mixtures of the images' maps keeps them local (`hrcam_monai.mixing`).

    Args:
        l1: weight of the maps' mean absolute value.
        consistency: weight of the mixtures, which `HRCAMInferer(mixing=...)` makes.

    Example:
        >>> MapLoss()({"logits": torch.zeros(1, 2), "maps": torch.zeros(1, 2, 4, 4)}, torch.tensor([1]))
        tensor(0.6931)
    """

    def __init__(self, l1: float = 0.0, consistency: float = 0.0) -> None:
        super().__init__()
        self.l1 = l1
        self.consistency = consistency

    def forward(self, pred: dict[str, Tensor], label: Tensor) -> Tensor:
        """`pred` of the inferer and labels [B] -> a scalar."""
        loss = F.cross_entropy(pred["logits"], label.long().reshape(-1))
        if self.l1 and "maps" in pred:
            loss = loss + self.l1 * pred["maps"].abs().mean()
        if self.consistency and "mixed" in pred:
            loss = loss + self.consistency * F.mse_loss(pred["mixed"], pred["expected"])
        return loss

"""The training loss on what `HRCAMInferer` returns."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MapLoss(nn.Module):
    """Cross entropy of the logits, plus `l1` times the mean absolute value of the class maps.

    The L1 term keeps maps sparse: cross entropy alone does not care where evidence comes from.

    Args:
        l1: weight of the map's mean absolute value; 0 leaves cross entropy alone.

    Example:
        >>> MapLoss()({"logits": torch.zeros(1, 2), "maps": torch.zeros(1, 2, 4, 4)}, torch.tensor([1]))
        tensor(0.6931)
    """

    def __init__(self, l1: float = 0.0) -> None:
        super().__init__()
        self.l1 = l1

    def forward(self, pred: dict[str, Tensor], label: Tensor) -> Tensor:
        """`pred` of the inferer and labels [B] -> a scalar."""
        loss = F.cross_entropy(pred["logits"], label.long().reshape(-1))
        if self.l1 and "maps" in pred:
            loss = loss + self.l1 * pred["maps"].abs().mean()
        return loss

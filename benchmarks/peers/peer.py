"""What every network to compare with has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# images [B, 1, X, Y], labels [B], masks [B, 1, X, Y] in [0, 1] (None for a network that learns from labels) -> a scalar
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Stage:
    """One stage of training: AdamW with a one-cycle learning rate, as ours is trained.

    Attributes:
        part: whose parameters learn; the rest of the network stays as it is.
        loss: of a batch.
        epochs: so many; the network after the last one is kept.
        lr: the highest learning rate.
    """

    part: nn.Module
    loss: Loss
    epochs: int
    lr: float


class Peer(nn.Module, ABC):
    """A network with maps of its own, or with maps that a library makes of it.

    Attributes:
        title: shown in tables.
        method: name of the map that the network is here for, among those of `maps`.
        reads_masks: whether it learns from masks.
        bfloat16: whether its convolutions are computed in it while it learns, which halves the time of most.
        reference: index of the class that is no finding, or None where every class is one.
    """

    title: ClassVar[str]
    method: ClassVar[str]
    reads_masks: ClassVar[bool] = False
    bfloat16: ClassVar[bool] = True

    def __init__(self, classes: int, reference: int | None) -> None:
        super().__init__()
        if reference not in (0, None):
            raise ValueError(f"reference is {reference}; the class that is no finding is the first, or there is none.")
        self.classes = classes
        self.reference = reference

    @property
    def findings(self) -> int:
        """Number of the classes that are findings."""
        return self.classes - (self.reference is not None)

    def finding(self, label: Any) -> Any:
        """A class's place among the findings: of one, or of a tensor of them."""
        return label - int(self.reference is not None)

    def with_reference(self, scores: Tensor) -> Tensor:
        """Log-odds of the findings [B, findings] -> logits [B, classes]: that of the class that is no finding is zero."""
        return scores if self.reference is None else torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1)

    def label_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Cross entropy of the image's label."""
        return F.cross_entropy(self(x), label)

    @abstractmethod
    def stages(self) -> list[Stage]:
        """How it is trained, stage by stage."""

    @abstractmethod
    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        """Named maps of a finding: [B, 1, X, Y] -> each [B, 1, X, Y]."""

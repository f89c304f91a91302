"""From which value on a map counts: one rule for label maps, pages and pictures."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Range", "evidence_range"]


class Range(NamedTuple):
    """Attributes: median of a map inside the head, the value from which on it counts, its maximum there."""

    middle: float
    threshold: float
    top: float

    @property
    def empty(self) -> bool:
        """Whether nothing stands out: the map is flat."""
        return not self.top > self.middle


def evidence_range(heat: Tensor, head: Tensor, share: float = 0.5) -> Range:
    """What stands out of a map: from `share` of the way between its median and its maximum on, whatever the level of the whole.

    Args:
        heat: of any shape.
        head: bool, of the same shape: voxels that are not air. Where there are none, all count.
        share: in (0, 1).

    Example:
        >>> import torch
        >>> evidence_range(torch.tensor([9.0, 0.0, 1.0, 3.0]), torch.tensor([False, True, True, True]))
        Range(middle=1.0, threshold=2.0, top=3.0)
    """
    inside = heat[head] if bool(head.any()) else heat.flatten()
    middle, top = float(inside.median()), float(inside.max())
    return Range(middle, middle + share * (top - middle), top)

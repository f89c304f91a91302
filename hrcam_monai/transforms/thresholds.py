"""From which value on a map counts: one rule for label maps, pages and pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SCALES = ("evidence", "probability")


class Range(NamedTuple):
    """Attributes: median of a map inside the head, the value from which on it counts, its maximum there."""

    middle: float
    threshold: float
    top: float

    @property
    def empty(self) -> bool:
        """Whether nothing stands out: the map is flat."""
        return not self.top > self.middle

    @property
    def share(self) -> float:
        """The threshold as a share of the way from the median to the maximum; 0 where it lies below the median."""
        return 0.0 if self.empty else max((self.threshold - self.middle) / (self.top - self.middle), 0.0)


def threshold_between(middle: float, top: float, share: float = 0.5, scale: str = "evidence") -> float:
    """The value from which on a map of this median and this maximum counts.

    Args:
        middle: the map's median, logit units.
        top: its maximum.
        share: in (0, 1).
        scale: `evidence` is `share` of the way from the median to the maximum: what stands out, whatever the level of the whole.
            `probability` is where sigmoid(map) is at least `share` of its highest: of maps that are taught voxel by voxel, whose
            0 is "as likely as not".

    Raises:
        ValueError: an unknown scale, a share that is not in (0, 1).

    Example:
        >>> threshold_between(1.0, 3.0), round(threshold_between(1.0, 20.0, 0.5, "probability"), 3)
        (2.0, 0.0)
    """
    if scale not in SCALES:
        raise ValueError(f"the scale of the map's threshold is '{scale}'; choose one of {', '.join(SCALES)}.")
    if not 0 < share < 1:
        raise ValueError(f"the map's threshold is {share}; it must lie between 0 and 1.")
    if scale == "evidence":
        return middle + share * (top - middle)
    return float((share * torch.tensor(top, dtype=torch.float64).sigmoid()).logit())


def evidence_range(heat: Tensor, head: Tensor, share: float = 0.5, scale: str = "evidence") -> Range:
    """What stands out of a map, from `threshold_between` its median and its maximum on.

    Args:
        heat: of any shape, logit units.
        head: bool, of the same shape: voxels that are not air. Where there are none, all count.
        share: in (0, 1).
        scale: one of `SCALES`.

    Example:
        >>> evidence_range(torch.tensor([9.0, 0.0, 1.0, 3.0]), torch.tensor([False, True, True, True]))
        Range(middle=1.0, threshold=2.0, top=3.0)
    """
    inside = heat[head] if bool(head.any()) else heat.flatten()
    middle, top = float(inside.median()), float(inside.max())
    return Range(middle, threshold_between(middle, top, share, scale), top)

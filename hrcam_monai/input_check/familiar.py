"""How far a vector lies from those that are known: a Mahalanobis distance, and how far held-out ones lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

__all__ = ["Familiar"]

LEAST = 0.01  # variance of a direction, of vectors scaled to 1; and a tenth of the mean spread, of an entry: what hardly varies
# in the training, as a corner of the grid that a head seldom reaches, must not decide
RATE = 0.01  # share of held-out images that lie beyond the limit, but for the allowance
ALLOWANCE = 1.4  # room for healthy people of other scanners (docs/whole_heads.md)


@dataclass(frozen=True, eq=False)
class Familiar:
    """What known vectors are like.

    Attributes:
        mean: [D].
        whiten: [D, D], takes a difference from the mean to one whose length is its Mahalanobis distance.
        limit: the distance that vectors of the same kind seldom pass.
    """

    mean: Tensor
    whiten: Tensor
    limit: float

    @classmethod
    def learn(cls, known: Tensor, held_out: Tensor, rate: float = RATE, allowance: float = ALLOWANCE) -> Familiar:
        """From vectors of known images, and of held-out ones, which set the limit.

        The covariance is shrunk (Ledoit and Wolf 2004), as there may be few images to a dimension. Distances of this kind
        tell unlike inputs of a network: Lee et al., NeurIPS 2018.

        Args:
            known: [N, D].
            held_out: [M, D], of other people.
            rate: share of the held-out ones that may lie beyond,
            allowance: so many times as far.

        Raises:
            ValueError: fewer than two known ones, or none held out.

        Example:
            >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
            <torch._C.Generator object at ...>
            >>> known = Familiar.learn(torch.randn(200, 3), torch.randn(100, 3))
            >>> known.excess(torch.zeros(3)) < 1 < known.excess(torch.full([3], 9.0))
            True
        """
        if len(known) < 2 or not len(held_out):
            raise ValueError(f"{len(known)} known images and {len(held_out)} held out; two and one are needed at least.")
        mean, scale = known.mean(dim=0), known.std(dim=0)
        scale = scale.clamp(min=max(LEAST**0.5 * float(scale.mean()), 1e-6))
        fitted = LedoitWolf(assume_centered=True).fit(((known - mean) / scale).double().numpy())
        spread, axes = torch.linalg.eigh(torch.from_numpy(fitted.covariance_))
        own = cls(mean, (axes / spread.clamp(min=LEAST).sqrt()).T.float() / scale, 1.0)
        return cls(own.mean, own.whiten, max(allowance * float(own.distance(held_out).quantile(1 - rate)), 1.0))

    def distance(self, vectors: Tensor) -> Tensor:
        """Mahalanobis distance of vectors [..., D]."""
        return torch.linalg.vector_norm((vectors - self.mean) @ self.whiten.T, dim=-1)

    def excess(self, vector: Tensor) -> float:
        """The distance of a vector [D] as a share of the limit; above 1 it is unlike what is known."""
        return float(self.distance(vector) / self.limit)

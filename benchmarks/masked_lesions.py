"""Lesions drawn while training that say where they are: for a network that is told every voxel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch

from hrcam_monai.seeds.handler import SEEDS
from hrcam_monai.transforms.lesions import RandLesionsd

__all__ = ["RandMaskedLesionsd"]


class RandMaskedLesionsd(RandLesionsd):
    """`RandLesionsd` that hands on the mask of what it drew, the seeds' way through the augmentation: [1, X, Y, Z]."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.mask = np.zeros(data[self.keys[0]].shape[1:], np.uint8)
        return {**super().__call__(data), SEEDS: torch.as_tensor(self.mask[None], dtype=torch.float32)}

    def _draw(self, image: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn, self.mask = super()._draw(image, depth, rng)
        return drawn, self.mask

"""Random changes of an image that MONAI lacks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import gaussian_filter

__all__ = ["RandFoldsd"]


class RandFoldsd(RandomizableTransform, MapTransform):
    """Draw thin folds into tissue, mostly dark, in patches, as sulci and vessels differ between people.

    Networks trained on few anatomies take the folds of others for small lesions; folds at random places, in images of
    every class, teach them that thin dark lines are no finding. A fold is where smooth noise crosses zero.

    Args:
        keys: images [C, *spatial], 0 in air, with intensities of standard deviation 1.
        prob: share of the images that get folds.
        depth: the strongest change of intensity.
        dark: share of the images whose folds are dark; the others' are bright.
        scale: range of the distance between folds, voxels.
        width: range of their width, as a share of that distance.
        patch: size of the patches with folds, voxels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        prob: float = 0.8,
        depth: float = 1.6,
        dark: float = 0.8,
        scale: tuple[float, float] = (2.0, 4.0),
        width: tuple[float, float] = (0.12, 0.37),
        patch: float = 9.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.depth, self.dark, self.scale, self.width, self.patch = depth, dark, scale, width, patch

    def _noise(self, shape: Sequence[int], sigma: float) -> np.ndarray:
        """Smooth noise of standard deviation 1."""
        noise = gaussian_filter(self.R.standard_normal(shape).astype(np.float32), sigma)
        return noise / noise.std()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        sign = -1 if self.R.random() < self.dark else 1
        depth = sign * self.R.uniform(0, self.depth)
        scale, width = self.R.uniform(*self.scale), self.R.uniform(*self.width)
        shape = d[next(iter(self.key_iterator(d)))].shape[1:]
        folds = np.exp(-((self._noise(shape, scale) / width) ** 2) / 2)
        patches = 1 / (1 + np.exp(-3 * (self._noise(shape, self.patch) - 0.3)))
        change = torch.from_numpy(depth * folds * patches)
        for key in self.key_iterator(d):
            d[key] = d[key] + (change * (d[key] != 0)).to(d[key].dtype)
        return d

"""Random changes of an image that MONAI lacks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import gaussian_filter
from torch import Tensor

__all__ = ["RandFoldsd", "RandSulcid"]


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


class RandSulcid(RandomizableTransform, MapTransform):
    """Close sulci, as in the young, or widen them, as in the old; or take out the fluid, as some do who strip brains.

    Networks trained on few people take cortex whose sulci are narrower than theirs for lesions. Closing, a maximum and then a
    minimum over neighbours, fills what is thin and dark and leaves what is thick, so lesions stay.

    Args:
        keys: images [C, *spatial] of two or three dimensions, 0 in air, with intensities of standard deviation 1.
        close: share of the images whose sulci are closed, by a fifth up to wholly.
        widen: share of those that are widened, by a tenth up to six tenths.
        dry: share of those whose fluid becomes air.
        fluid: range of the intensity that fluid lies below.

    Raises:
        ValueError: `close` and `widen` are more than 1 together.

    Example:
        >>> RandSulcid("image").set_random_state(0)({"image": torch.rand(1, 32, 32)})["image"].shape
        torch.Size([1, 32, 32])
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        close: float = 0.45,
        widen: float = 0.15,
        dry: float = 0.35,
        fluid: tuple[float, float] = (-2.4, -1.2),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        if close + widen > 1:
            raise ValueError(f"close is {close} and widen is {widen}; together they must be at most 1.")
        self.close, self.widen, self.dry, self.fluid = close, widen, dry, fluid

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        kind, closed, widened = self.R.random(), self.R.uniform(0.2, 1.0), self.R.uniform(0.1, 0.6)
        floor = self.R.uniform(*self.fluid) if self.R.random() < self.dry else None
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key])
            tissue = image != 0
            if not tissue.any():
                continue
            filled = torch.where(tissue, image, image[tissue].min())  # air is no bright neighbour
            if kind < self.close:
                filled = torch.lerp(filled, _least(_most(filled)), closed)
            elif kind < self.close + self.widen:
                filled = torch.lerp(filled, _least(filled), widened)
            if floor is not None:
                tissue = tissue & (filled >= floor)
            d[key] = torch.where(tissue, filled, 0.0)
        return d


def _most(image: Tensor) -> Tensor:
    """The maximum over a voxel and its neighbours."""
    pool = F.max_pool2d if image.ndim == 3 else F.max_pool3d
    return pool(image, 3, stride=1, padding=1)


def _least(image: Tensor) -> Tensor:
    return -_most(-image)

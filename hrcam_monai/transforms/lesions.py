"""Lesions drawn while training: an abnormal head that no epoch has seen before."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform, Transform

from hrcam_monai.data.slices import well_shown
from hrcam_monai.phantoms.abnormalities import NOISE, TURNS, VARIED_NOISE
from hrcam_monai.phantoms.lesions import add_lesions, brain_depth

__all__ = ["BrainDepthd", "RandLesionsd"]

DEPTH = "depth"  # key of what `BrainDepthd` gives


class BrainDepthd(Transform):
    """Add `depth`, how far each voxel lies under the brain's surface (mm): once a head, before what is random.

    Args:
        image_key: [C, X, Y, Z] on an isotropic grid, 0 outside the brain.
        spacing: of the grid, mm.
    """

    def __init__(self, image_key: str = "image", *, spacing: float = 2.0) -> None:
        self.image_key, self.spacing = image_key, spacing

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = np.asarray(data[self.image_key][0])
        return {**data, DEPTH: brain_depth(image, self.spacing).astype(np.float16)}


class RandLesionsd(RandomizableTransform, MapTransform):
    """Draw lesions of the simulated abnormalities into healthy heads, and label and weigh their slices as those of the cohort.

    What is drawn into are heads as the network is given them: their range of intensities is taken for that of a brain whose air
    is 0 and whose white matter is about 1. The brain's histogram stays as it was (`add_lesions`).

    Args:
        keys: the image, [1, X, Y, Z], 0 outside the brain.
        prob: share of the heads that get lesions.
        label: of those that do.
        spacing: of the isotropic grid, mm.
        slice_axis: of the slices that are drawn next (`RandSlicesd`).
        varied: lesions of many looks.

    Raises:
        ValueError: an image has more than one channel.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        prob: float = 0.5,
        label: int = 1,
        spacing: float = 2.0,
        slice_axis: int = 2,
        varied: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label, self.spacing, self.slice_axis, self.varied = label, spacing, slice_axis, varied

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        depth = d.pop(DEPTH)
        self.randomize(None)
        if not self._do_transform:
            return d
        rng = np.random.default_rng(self.R.randint(2**31))
        for key in self.key_iterator(d):
            image, mask = self._draw(np.asarray(d[key]), np.asarray(depth, dtype=np.float32), rng)
            if mask.any():
                d[key] = torch.as_tensor(image)
                d["label"] = self.label
                d["slice_weights"] = d["slice_weights"] * torch.from_numpy(well_shown(mask, self.slice_axis))
        return d

    def _draw(self, image: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if len(image) != 1:
            raise ValueError(f"lesions are drawn into images of one channel, found {len(image)}.")
        brain = image[0] != 0
        high = np.percentile(image[0][brain], 95)
        low = image[0][brain].min() - 0.02 * (high - image[0][brain].min())  # all tissue stays above air
        scaled = np.where(brain, (image[0] - low) / (high - low), 0).astype(np.float32)
        noise = rng.uniform(*(VARIED_NOISE if self.varied else NOISE))
        grade, count = TURNS[rng.integers(len(TURNS))], int(rng.integers(1, 5))
        affine = np.diag([self.spacing] * 3 + [1.0])
        drawn, mask, _ = add_lesions(scaled, affine, rng, grade, count, noise, self.varied, depth)
        return np.where(brain, drawn * (high - low) + low, 0).astype(np.float32)[None], mask

"""Heads with a skull, made of the template's brain."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from monai.data import MetaTensor
from scipy.ndimage import distance_transform_edt, gaussian_filter

from hrcam_monai.phantoms.anatomy import load_anatomy, sample


@cache
def whole_head(spacing: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image float32, brain bool [X, Y, Z] and affine: the ICBM152 brain in fluid, bone, fat and a scanner's noise."""
    anatomy = load_anatomy()
    shape = tuple(int(n) for n in np.ceil((np.array(anatomy.image.shape) + 50) / spacing))
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = anatomy.affine[:3, 3] - 25
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * spacing + affine[:3, 3]
    image = sample(anatomy.image, anatomy.affine, points) * 100
    brain = image > 10
    away = distance_transform_edt(~brain) * spacing
    head = np.select([brain, away < 3, away < 9, away < 16], [image, 25, 8, 110], 0)
    noise = np.random.default_rng(0).normal(0, 2, (2, *shape))
    return np.hypot(gaussian_filter(head, 0.5) + noise[0], noise[1]).astype(np.float32), brain, affine


def item(values: np.ndarray, affine: np.ndarray) -> dict:
    """A head as it is read."""
    return {"image": MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(affine)), "file": "head.nii.gz"}

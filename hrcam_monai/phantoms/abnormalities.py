"""Focal lesions in normal heads: the first experiment of the HR-CAM paper (docs/simulation.md)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from hrcam_monai.phantoms.anatomy import Anatomy, smooth_field, warp
from hrcam_monai.phantoms.lesions import Lesion, add_lesions
from hrcam_monai.phantoms.task import TASKS, SimulatedSubject, Task

__all__ = ["DRAWN", "TASK", "TURNS", "VARIED", "scanned", "simulate_subject"]

NONE = "none"  # the grade of a subject without a lesion
NOISE, VARIED_NOISE = (0.02, 0.028), (0.015, 0.035)  # standard deviation, white matter being 1
TURNS = ("plain", "moderate", "plain", "faint")  # grades of the abnormal subjects of a split, in this order


def simulate_subject(
    anatomy: Anatomy, rng: np.random.Generator, grade: str | None = None, spacing: float = 2.0, varied: bool = False
) -> SimulatedSubject:
    """Warp the anatomy, draw 1 to 4 lesions if a grade is given, then gamma, bias field, noise and scanner gain.

    Args:
        anatomy: what `load_anatomy` returns.
        rng: the only source of chance.
        grade: key of `hrcam_monai.phantoms.lesions.GRADES`, or None (or "none") for a normal subject.
        spacing: isotropic voxel size in mm.
        varied: lesions of many looks (`lesions.varied_look`), and noise of a wider range.

    Example:
        >>> subject = simulate_subject(load_anatomy(), np.random.default_rng(0), "plain")
        >>> subject.lesions[0].grade
        'plain'
    """
    image, affine = warp(anatomy, rng, spacing)
    noise_std = rng.uniform(*(VARIED_NOISE if varied else NOISE))
    mask = np.zeros(image.shape, np.uint8)
    lesions: list[Lesion] = []
    if grade is not None and grade != NONE:
        image, mask, lesions = add_lesions(image, affine, rng, grade, int(rng.integers(1, 5)), noise_std, varied)
    return SimulatedSubject(scanned(image, rng, noise_std), mask, affine, lesions)


def scanned(image: np.ndarray, rng: np.random.Generator, noise_std: float) -> np.ndarray:
    """Gamma, bias field, noise and gain of a scanner on a brain [X, Y, Z] that is 0 outside: int16, 0 outside still."""
    brain = image > 0
    gamma, gain = rng.uniform(0.8, 1.25), rng.uniform(200, 1500)
    image = image**gamma * np.exp(smooth_field(rng, image.shape, 5, 0.1))
    image = np.clip(image + rng.normal(0, noise_std, image.shape), 0.02, None)
    return np.where(brain, image * gain, 0).round().astype(np.int16)


TASK = Task(
    name="simulated abnormalities",
    description="Simulated lesions on the anatomy of {anatomy}; seed {seed}.",
    classes=("normal", "abnormal"),
    grades=((NONE,), TURNS),
    make=simulate_subject,
    spacing=2.0,
    template_only=False,
)
VARIED = replace(
    TASK,
    name="simulated abnormalities of many looks",
    description="Simulated lesions of many looks on the anatomy of {anatomy}; seed {seed}.",
    make=partial(simulate_subject, varied=True),
)
DRAWN = replace(
    TASK,
    name="simulated abnormalities, drawn in training",
    description="Heads on the anatomy of {anatomy}, healthy ones to train with, lesions in half of the others; seed {seed}.",
    healthy_training=True,
)
TASKS |= {"abnormalities": TASK, "varied_abnormalities": VARIED, "drawn_abnormalities": DRAWN}

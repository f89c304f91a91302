"""What a simulated task is: its classes, and a function that makes one subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hrcam_monai.phantoms.anatomy import Anatomy

__all__ = ["TASKS", "SimulatedSubject", "Task"]


class _Finding(Protocol):
    """What was drawn into a subject; its record goes beside the image."""

    def record(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class SimulatedSubject:
    """One subject.

    Attributes:
        image: int16 [X, Y, Z].
        mask: uint8 on the same grid: where the abnormality is.
        affine: 4x4, voxel to world mm (RAS+).
        lesions: what was drawn.
        regions: uint8 labels on the same grid, or None. What slices are chosen by are the labels from 2 on, in subjects of
            every class alike; without regions it is the mask.
        entry: what else the manifest says of the subject, as its age.
    """

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    lesions: list[Any]
    regions: np.ndarray | None = None
    entry: dict[str, object] = field(default_factory=dict)

    @property
    def shown(self) -> np.ndarray:
        """What a slice must show to carry the subject's label."""
        return self.mask if self.regions is None else self.regions > 1


@dataclass(frozen=True)
class Task:
    """One kind of simulated cohort.

    Attributes:
        name: of the manifest.
        description: of the manifest; `{anatomy}` and `{seed}` are filled in.
        classes: names; the subjects of a split take turns on them.
        grades: of each class, kinds that its subjects take turns on.
        make: (anatomy, rng, grade, spacing in mm) to a subject.
        spacing: voxel size unless told otherwise, mm.
        suffix: of the images' names.
        regions: its subjects have `regions`.
        template_only: places are in the space of the ICBM152 template, so no other anatomy will do.
        healthy_training: training subjects are all of the first class; the others' abnormalities are drawn into them while
            training.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    grades: tuple[tuple[str, ...], ...]
    make: Callable[[Anatomy, np.random.Generator, str, float], SimulatedSubject]
    spacing: float
    suffix: str = "T1w"
    regions: bool = False
    template_only: bool = True
    healthy_training: bool = False

    def turn(self, number: int) -> tuple[int, str]:
        """Class and grade of the subject with this number in its split."""
        label, round_ = number % len(self.classes), number // len(self.classes)
        grades = self.grades[label]
        return label, grades[round_ % len(grades)]


TASKS: dict[str, Task] = {}  # by the name that `simulate --task` takes; each module puts its own here

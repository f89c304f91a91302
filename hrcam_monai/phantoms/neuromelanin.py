"""Phantoms of Parkinson's disease on neuromelanin MRI: the paper's third experiment, without its patients.

A thin slab of thick slices about the midbrain. The places of substantia nigra, crus cerebri and locus coeruleus are simple
solids in the space of the template. No number from these phantoms is clinical. What is drawn and why: docs/tasks.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from hrcam_monai.data.manifest import CRUS, LEFT, RIGHT
from hrcam_monai.phantoms.anatomy import Anatomy, deformed, grid_points, sample, smooth_field
from hrcam_monai.phantoms.intensities import step
from hrcam_monai.phantoms.task import TASKS, SimulatedSubject, Task

__all__ = ["NONE", "TASK", "Loss", "along", "simulate_slab", "solid"]

FIELD = 72.0  # mm in-plane, both ways
MIDDLE = (0.0, -20.0, -15.5)  # of the slab, in the space of the template, mm
SLICES, THICKNESS, PARTS = 12, 2.2, 4  # slices, mm, samples through each
SLAB_KNOTS = ((5, 1.2),)  # deformation of the slab, on the finer of the two scales of a head
# magnetisation transfer darkens white matter: intensity of neuromelanin MRI against that of T1 (white matter about 1)
TONE = ((0.0, 0.2, 0.35, 0.55, 0.7, 0.85, 1.1), (0.35, 0.4, 0.5, 0.95, 1.1, 1.03, 0.95))


@dataclass(frozen=True)
class Loss:
    """How much signal a stage loses: the share lost where most is lost, and where the loss ends in front (`along`, mm)."""

    depth: tuple[float, float]
    front: tuple[float, float]


STAGES = {
    "mild": Loss((0.5, 0.7), (0.5, 2.0)),
    "moderate": Loss((0.6, 0.8), (-1.0, 0.5)),
    "severe": Loss((0.7, 0.9), (-3.0, -1.0)),
}
NONE = "none"
WORTH = 0.04  # contrast lost from which on a voxel belongs to the mask: somewhat above the noise's standard deviation


@dataclass(frozen=True)
class _Nigra:
    """What was drawn on one side.

    Attributes:
        side: "left" or "right".
        stage: "none" or a key of `STAGES`.
        contrast: of the whole nigra before the loss, over the crus cerebri.
        lost: share of the contrast lost where most is lost.
        volume_mm3: of the mask on this side.
    """

    side: str
    stage: str
    contrast: float
    lost: float
    volume_mm3: float

    def record(self) -> dict[str, object]:
        return asdict(self)


def along(points: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of one nigra: backwards and outwards along it, and across it towards the crus cerebri, mm.

    It is a curved band that turns outwards and forwards as it climbs.

    Args:
        points: in the space of the template [..., 3], mm.
        side: -1 left, 1 right.
    """
    up = points[..., 2] + 14.5
    x = side * points[..., 0] - (8.5 + 0.5 * up)
    y = points[..., 1] - (-17.5 + 0.5 * up)
    back, across = 0.35 * x - 0.94 * y, 0.94 * x + 0.35 * y
    return back, across + 0.03 * back**2


def solid(points: np.ndarray, side: int, across: float, half: tuple[float, float, float], height: float) -> np.ndarray:
    """Soft indicator [...] in [0, 1] of a curved ellipsoid in the coordinates of `along`; half its extents, mm."""
    back, out = along(points, side)
    rho = np.sqrt((back / half[0]) ** 2 + ((out - across) / half[1]) ** 2 + ((points[..., 2] - height) / half[2]) ** 2)
    return step(1 - rho, 0.12)


def _coeruleus(points: np.ndarray) -> np.ndarray:
    """Soft indicator of both loci coerulei: thin rods in the floor of the fourth ventricle."""
    x, y = np.abs(points[..., 0]) - 5.0, points[..., 1] - (-36.5 - 0.2 * (points[..., 2] + 24))
    return np.exp(-(x**2 + y**2) / (2 * 1.1**2)) * step(5.5 - np.abs(points[..., 2] + 25), 0.5)


def _slab_grid(spacing: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of the slab, with voxels of `spacing` in-plane."""
    count = round(FIELD / spacing)
    affine = np.diag([spacing, spacing, THICKNESS, 1.0])
    affine[:3, 3] = np.array(MIDDLE) - (np.array([count, count, SLICES]) - 1) / 2 * np.diag(affine)[:3]
    return (count, count, SLICES), affine


def simulate_slab(anatomy: Anatomy, rng: np.random.Generator, grade: str, spacing: float = 0.75) -> SimulatedSubject:
    """One subject's slab: a control, or Parkinson's at one stage.

    Signal is lost at the back and outside first, more on one side, which chance chooses. In both classes the whole nigra's
    contrast rises with age and differs between people, so that mean contrasts of the classes overlap.

    Args:
        anatomy: the ICBM152 template, since places are places in it.
        rng: the only source of chance.
        grade: "none" for a control, or a key of `STAGES`.
        spacing: in-plane voxel size, mm; slices are 2.2 mm thick.

    Example:
        >>> simulate_slab(load_anatomy(), np.random.default_rng(0), "mild").image.shape
        (96, 96, 12)
    """
    shape, affine = _slab_grid(spacing)
    fine = affine.copy()
    fine[2, 2] = THICKNESS / PARTS
    fine[2, 3] -= THICKNESS / 2 - THICKNESS / PARTS / 2
    points = deformed(grid_points((*shape[:2], SLICES * PARTS), fine), rng, SLAB_KNOTS)
    tissue = np.interp(sample(anatomy.image, anatomy.affine, points), *TONE)
    age = rng.uniform(45, 80)
    contrast = float(np.clip(0.27 + 0.002 * (age - 62) + rng.normal(0, 0.05), 0.12, None))
    half = (7.0 * rng.uniform(0.9, 1.1), 2.6 * rng.uniform(0.85, 1.15), 5.5)
    worse = (-1, 1)[rng.integers(2)]
    sides, crura, lost = {}, np.zeros(points.shape[:3]), np.zeros(points.shape[:3])
    shares = dict.fromkeys((-1, 1), 0.0)
    depth = front = 0.0
    if grade != NONE:
        depth, front = rng.uniform(*STAGES[grade].depth), rng.uniform(*STAGES[grade].front)
        shares = {worse: depth, -worse: depth * rng.uniform(0.3, 0.7)}
    for side in (-1, 1):
        sides[side] = solid(points, side, 0.0, half, -14.5)
        crura += solid(points, side, 5.8, (7.0, 1.8, 4.5), -16.5) * (1 - sides[side])
        lost += sides[side] * contrast * shares[side] * step(along(points, side)[0] - front, 1.0)
    tissue = tissue + np.clip(crura, 0, 1) * (0.95 - tissue)  # the crus cerebri is even, and the reference of contrast
    nigra = sides[-1] + sides[1]
    tissue = tissue + nigra * (0.95 * (1 + contrast) - tissue) - 0.95 * lost
    tissue = tissue + _coeruleus(points) * rng.uniform(0.12, 0.22)

    def thick(fine_image: np.ndarray) -> np.ndarray:  # what one slice sees
        return fine_image.reshape(*shape, PARTS).mean(-1)

    image = thick(tissue)
    for axis in (0, 1):
        image = gaussian_filter1d(image, 0.35 / spacing, axis=axis)
    image = image * np.exp(smooth_field(rng, shape, 5, 0.08))
    noise, gain = rng.uniform(0.022, 0.034), rng.uniform(200, 900)
    image = np.hypot(image + rng.normal(0, noise, shape), rng.normal(0, noise, shape))  # Rician

    mask = (thick(lost) >= WORTH).astype(np.uint8)
    regions = np.zeros(shape, np.uint8)
    regions[thick(crura) > 0.6] = CRUS
    found = []
    for side, label, name in ((-1, LEFT, "left"), (1, RIGHT, "right")):
        here = thick(sides[side]) > 0.5
        regions[here] = label
        volume = float((mask * (thick(sides[side]) > 0.05)).sum()) * spacing**2 * THICKNESS
        found.append(_Nigra(name, grade, round(contrast, 3), round(shares[side], 3), round(volume, 1)))
    scaled = (image * gain).round().astype(np.int16)
    return SimulatedSubject(scaled, mask, affine, found, regions, {"age": round(age, 1)})


TASK = Task(
    name="phantom: Parkinson's disease on neuromelanin MRI",
    description="Phantom, no patients: nigra drawn on the anatomy of {anatomy}; seed {seed}. No number from it is clinical.",
    classes=("control", "parkinson"),
    grades=((NONE,), ("moderate", "mild", "severe", "mild")),
    make=simulate_slab,
    spacing=0.75,
    suffix="NM",
    regions=True,
)
TASKS |= {"parkinson_nm": TASK}

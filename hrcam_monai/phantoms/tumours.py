"""Phantoms of glioblastoma and ependymoma on contrast-enhanced T1: the paper's second experiment, without its patients.

Shapes of textbooks, not of patients: no number from these phantoms is clinical. What is drawn and why: docs/tasks.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import distance_transform_edt

from hrcam_monai.phantoms.abnormalities import scanned
from hrcam_monai.phantoms.anatomy import Anatomy, sample, smooth_field, warp_with_points
from hrcam_monai.phantoms.intensities import matched, step
from hrcam_monai.phantoms.lesions import blob
from hrcam_monai.phantoms.task import TASKS, SimulatedSubject, Task

__all__ = [
    "GLIOBLASTOMA",
    "RADIUS",
    "TASK",
    "Tumour",
    "ependymoma",
    "glioblastoma",
    "middle",
    "simulate_tumour",
    "texture",
    "vessels",
]

RADIUS = (9.0, 18.0)  # mm, of the ball of the tumour's volume: one range for both classes, so that size tells nothing
ENHANCED = (1.35, 1.75)  # of the enhancing part, white matter being about 1: one range for both, too
FLUID = 0.15  # the darkest that anything in the brain is, white matter being about 1
GLIOBLASTOMA = "hemisphere"  # the sites, in the space of the template
FOURTH, LATERAL = "fourth ventricle", "lateral ventricle"
MIDDLE_OF_FOURTH = (0.0, -45.0, -31.0)


@dataclass(frozen=True)
class Tumour:
    """What was drawn: where, how large, how bright.

    Attributes:
        kind: "glioblastoma" or "ependymoma".
        site: one of the sites above.
        radius_mm: radius of a ball of its volume.
        volume_mm3: volume of the mask.
        enhancement: intensity of the enhancing part, white matter being about 1.
        centre_world_mm: centre of the mask, world coordinates (RAS+).
    """

    kind: str
    site: str
    radius_mm: float
    volume_mm3: float
    enhancement: float
    centre_world_mm: tuple[float, ...]

    def record(self) -> dict[str, object]:
        return asdict(self)


def middle(
    image: np.ndarray, points: np.ndarray, depth: np.ndarray, rng: np.random.Generator, site: str, radius: float
) -> np.ndarray:
    """Voxel [3] that a tumour grows from.

    Args:
        image: brain [X, Y, Z], 0 outside, white matter about 1.
        points: of each voxel its place in the template [X, Y, Z, 3], mm.
        depth: of each voxel below the surface of the brain, mm.
        site: one of the sites.
        radius: mm.
    """
    side, back, up = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    if site == FOURTH:
        target = np.array(MIDDLE_OF_FOURTH) + rng.uniform(-1, 1, 3) * (4, 3, 5)
        return np.array(np.unravel_index(np.linalg.norm(points - target, axis=-1).argmin(), image.shape))
    if site == LATERAL:  # dark and deep, so no sulcus
        room = (image < 0.45) & (depth > 25) & (side > 3) & (side < 28) & (back > -45) & (back < 30) & (up > 2) & (up < 28)
    else:  # supratentorial white matter beside the middle
        room = (image > 0.9) & (depth > 0.7 * radius) & (side > 16) & (up > 0)
    places = np.argwhere(room)
    return places[rng.integers(len(places))]


def _shaped(
    rng: np.random.Generator, brain: np.ndarray, centre: np.ndarray, radius: float, roughness: float
) -> tuple[np.ndarray, tuple[slice, ...]]:
    """A `blob` inside the brain whose surface, at 1, holds the volume of a ball of this radius (voxels), whatever its shape."""
    rho, window = blob(rng, brain.shape, centre, radius, roughness)
    inside = np.sort(rho[brain[window]])
    count = min(round(4 / 3 * np.pi * radius**3), len(inside) - 1)
    return rho + (1.0 - inside[count]), window


def texture(rng: np.random.Generator, shape: tuple[int, ...], knots: int) -> np.ndarray:
    """Smooth noise of standard deviation 1; a tumour's box is four of its radii wide, so a quarter of the knots span a radius."""
    field = smooth_field(rng, shape, knots, 1.0)
    return field / field.std()


def glioblastoma(tissue: np.ndarray, rho: np.ndarray, rng: np.random.Generator, enhanced: float, edge: float) -> np.ndarray:
    """A necrotic core in a thick rim that enhances unevenly, in dark oedema of the white matter.

    Args:
        tissue: intensities around the tumour [X, Y, Z].
        rho: distance, 1 on the surface of the rim.
        enhanced: intensity of the rim.
        edge: width of edges, in units of `rho`.
    """
    reach, dark = rng.uniform(0.4, 0.9), rng.uniform(0.7, 0.85)
    swollen = step(1 + reach + 0.15 * texture(rng, rho.shape, 10) - rho, 0.1) * step(tissue - 0.75, 0.05)
    out = tissue * (1 - swollen * (1 - dark))
    rim = enhanced * (1 + 0.1 * texture(rng, rho.shape, 16) + 0.06 * texture(rng, rho.shape, 30))
    out = out + step(1 - rho, edge) * (rim - out)
    necrosis = rng.uniform(0.35, 0.55) * (1 + 0.2 * texture(rng, rho.shape, 18))
    inner = rng.uniform(0.55, 0.75) + 0.13 * texture(rng, rho.shape, 16)  # the rim's thickness varies
    return out + step(inner - rho, edge) * (necrosis - out)


def ependymoma(tissue: np.ndarray, rho: np.ndarray, rng: np.random.Generator, enhanced: float, edge: float) -> np.ndarray:
    """A well-defined mass that enhances in parts, with small cysts; arguments as for `glioblastoma`."""
    parts = step(texture(rng, rho.shape, 20) + rng.uniform(0.0, 0.8), 0.4)
    dull = rng.uniform(0.85, 1.05)
    mass = (dull + parts * (enhanced - dull)) * (1 + 0.06 * texture(rng, rho.shape, 30))
    cysts = step(texture(rng, rho.shape, 22) - rng.uniform(1.0, 1.8), 0.15) * step(0.9 - rho, edge)
    mass = mass + cysts * (rng.uniform(0.35, 0.55) - mass)
    return tissue + step(1 - rho, edge) * (mass - tissue)


def vessels(image: np.ndarray, rng: np.random.Generator, spacing: float) -> np.ndarray:
    """The brain with bright vessels in its fluid: something other than a tumour that enhances, in every head.

    They are thin curves, where two smooth fields cross zero.
    """
    knots = [max(5, round(n * spacing / 6.0)) for n in image.shape]
    near = sum(smooth_field(rng, image.shape, max(knots), 1.0) ** 2 for _ in range(2))
    fluid = (image > 0) * step(0.6 - image, 0.05)
    return image + (fluid * np.exp(-near / (2 * 0.15**2)) * (rng.uniform(1.3, 1.8) - image)).astype(np.float32)


def simulate_tumour(anatomy: Anatomy, rng: np.random.Generator, grade: str, spacing: float = 1.0) -> SimulatedSubject:
    """A head with one tumour: a glioblastoma in a hemisphere, or an ependymoma at a ventricle.

    Both tumours are made, of one volume, each in a copy of the head. The chosen copy's intensities are then matched, rank by
    rank, to the mean of both copies': no histogram tells the classes apart.

    Args:
        anatomy: the ICBM152 template, since sites are places in it.
        rng: the only source of chance.
        grade: the site: "hemisphere", "fourth ventricle" or "lateral ventricle".
        spacing: isotropic voxel size, mm.

    Example:
        >>> subject = simulate_tumour(load_anatomy(), np.random.default_rng(0), "fourth ventricle", 2.0)
        >>> subject.lesions[0].kind
        'ependymoma'
    """
    image, affine, points = warp_with_points(anatomy, rng, spacing)
    brain = sample((anatomy.image > 0.1).astype(np.float32), anatomy.affine, points) > 0.5
    image = np.where(brain, np.clip(image, FLUID, None), 0)  # sharpened fluid may fall to 0, which would be a hole in the brain
    image = vessels(image, rng, spacing)
    depth = distance_transform_edt(brain) * spacing
    # uniform in volume would give few small ones; both copies share radius and enhancement
    radius, enhanced = rng.uniform(*RADIUS), rng.uniform(*ENHANCED)
    other = (FOURTH, LATERAL)[rng.integers(2)] if grade == GLIOBLASTOMA else GLIOBLASTOMA
    copies = []
    for site in (grade, other):
        draw, roughness = (glioblastoma, 0.9) if site == GLIOBLASTOMA else (ependymoma, 0.4)
        centre = middle(image, points, depth, rng, site, radius) + rng.uniform(-0.5, 0.5, 3)
        rho, window = _shaped(rng, brain, centre, radius / spacing, roughness)
        inside = brain[window]
        changed = draw(image[window], rho, rng, enhanced, 0.4 * spacing / radius)
        drawn = image.copy()
        drawn[window] = np.where(inside, np.clip(changed, FLUID, None), 0)
        mask = np.zeros(image.shape, np.uint8)
        mask[window] = (rho < 1) & inside
        copies.append((drawn, mask))
    drawn, mask = copies[0]
    shared = np.mean([np.sort(copy[brain]) for copy, _ in copies], 0)
    drawn[brain] = matched(drawn[brain], shared)
    tumour = Tumour(
        "glioblastoma" if grade == GLIOBLASTOMA else "ependymoma",
        grade,
        round(radius, 2),
        round(float(mask.sum()) * spacing**3, 1),
        round(enhanced, 3),
        tuple(apply_affine(affine, np.argwhere(mask).mean(0)).round(1).tolist()),
    )
    return SimulatedSubject(scanned(drawn, rng, rng.uniform(0.02, 0.03)), mask, affine, [tumour])


TASK = Task(
    name="phantom: ependymoma and glioblastoma",
    description="Phantom, no patients: tumours drawn on the anatomy of {anatomy}; seed {seed}. No number from it is clinical.",
    classes=("ependymoma", "glioblastoma"),
    grades=((FOURTH, LATERAL), (GLIOBLASTOMA,)),
    make=simulate_tumour,
    spacing=1.0,
    suffix="T1ce",
)
TASKS |= {"ependymoma_gbm": TASK}

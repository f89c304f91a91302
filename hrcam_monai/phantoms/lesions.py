"""Simulated focal lesions: irregular, soft-edged, bright or dark, in three grades of conspicuity."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from hrcam_monai.phantoms.anatomy import smooth_field
from hrcam_monai.phantoms.intensities import matched

__all__ = ["GRADES", "Lesion", "Look", "add_lesions", "blob", "brain_depth", "lesion_profile", "varied_look"]


@dataclass(frozen=True)
class _Grade:
    """Range of a lesion's contrast-to-noise ratio and of its mean radius in mm."""

    cnr: tuple[float, float]
    radius: tuple[float, float]


GRADES = {
    "plain": _Grade(cnr=(12.0, 16.0), radius=(9.0, 14.0)),
    "moderate": _Grade(cnr=(8.0, 12.0), radius=(7.0, 12.0)),
    "faint": _Grade(cnr=(5.0, 8.0), radius=(6.0, 9.0)),
}
RANGE = (0.35, 1.05)  # of a lesion's mean intensity: that of healthy tissue (white matter is about 1)
WIDE_RANGE = (0.25, 1.4)  # of varied lesions: darker than grey matter to brighter than white, as enhancing ones are
TRIES = 50  # places tried for a lesion before it is left out


@dataclass(frozen=True)
class Look:
    """What a lesion looks like, apart from its place, size and contrast.

    Attributes:
        roughness: of its surface; see `blob`.
        stretch: shortest and longest axis, shares of the radius.
        softness: width of its edge, share of the radius.
        core: change in its middle, as a share of that at its rim; 1 is a lesion without a rim.
        texture: standard deviation of its change from place to place, share of the change.
        sign: 1 bright, -1 dark, 0 whichever fits where it lies.
    """

    roughness: float = 0.35
    stretch: tuple[float, float] = (0.75, 1.3)
    softness: float = 0.08
    core: float = 1.0
    texture: float = 0.0
    sign: int = 0


PLAIN_LOOK = Look()


def varied_look(rng: np.random.Generator) -> Look:
    """A look of its own for every lesion: bright and dark in equal parts, sharp to soft, even or mottled, one in three rimmed.

    Example:
        >>> varied_look(np.random.default_rng(0)).sign in (-1, 1)
        True
    """
    longest = rng.uniform(1.1, 1.7)
    return Look(
        roughness=rng.uniform(0.1, 0.55),
        stretch=(longest - rng.uniform(0.2, 0.9), longest),
        softness=float(np.exp(rng.uniform(np.log(0.05), np.log(0.35)))),
        core=rng.uniform(-0.2, 0.6) if rng.random() < 1 / 3 else 1.0,
        texture=rng.uniform(0.0, 0.35),
        sign=int(rng.choice([-1, 1])),
    )


@dataclass(frozen=True)
class Lesion:
    """What was drawn: kept in the subject's record, so that results can be read by conspicuity.

    Attributes:
        grade: key of `GRADES`.
        sign: "hyper" or "hypo" (intense).
        cnr: mean absolute change of intensity inside the mask over the standard deviation of the noise.
        radius_mm: mean radius asked for.
        volume_mm3: volume of the mask.
        centre_world_mm: centre of the mask in world coordinates (RAS+).
    """

    grade: str
    sign: str
    cnr: float
    radius_mm: float
    volume_mm3: float
    centre_world_mm: tuple[float, float, float]

    def record(self) -> dict[str, object]:
        return asdict(self)


def blob(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    centre: np.ndarray,
    radius: float,
    roughness: float = 0.35,
    stretch: tuple[float, float] = (0.75, 1.3),
) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Distance from the middle of one irregular blob, 1 on its surface, in a box around it; centre and radius in voxels.

    A turned ellipsoid (axes between `stretch` of the radius) whose surface a smooth random field of standard deviation
    `roughness` moves in and out.

    Returns:
        distances in the box, and where the box lies on the grid of `shape`.
    """
    half = int(np.ceil(2.0 * radius)) + 1
    low = np.maximum(np.floor(centre).astype(int) - half, 0)
    high = np.minimum(np.floor(centre).astype(int) + half + 1, shape)
    box = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), -1) - centre
    turn = Rotation.random(random_state=rng).as_matrix()
    axes = radius * rng.uniform(*stretch, 3)
    rho = np.linalg.norm(box @ turn / axes, axis=-1)
    bumps = smooth_field(rng, (24,) * 3, 7, roughness)  # one field over the blob's own box, whatever the voxel size
    at = (box / (2.0 * half) + 0.5) * 23
    rho = rho + map_coordinates(bumps, np.moveaxis(at, -1, 0), order=1, mode="nearest")
    return rho, tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def lesion_profile(
    rng: np.random.Generator, shape: tuple[int, ...], centre: np.ndarray, radius: float, look: Look = PLAIN_LOOK
) -> tuple[np.ndarray, np.ndarray]:
    """One `blob` on a grid of `shape`: where it is, a soft indicator in [0, 1], and how much it changes each voxel.

    Args:
        rng: the only source of chance.
        shape: of the grid.
        centre: voxels.
        radius: voxels.
        look: without rim or texture the change is the indicator.
    """
    rho, window = blob(rng, shape, centre, radius, look.roughness, look.stretch)
    softness = max(look.softness, 0.5 / radius)  # an edge about one voxel wide at least
    inside = 1.0 / (1.0 + np.exp((rho - 1.0) / softness))
    change = inside
    if look.core < 1:
        change = change * (look.core + (1 - look.core) * np.clip((rho - 0.3) / 0.4, 0, 1))
    if look.texture:
        grain = gaussian_filter(rng.normal(size=rho.shape), 1.0)
        change = change * (1 + look.texture * grain / grain.std())
    soft, full = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    soft[window], full[window] = inside, change
    return soft, full


def _find_place(
    image: np.ndarray,
    mask: np.ndarray,
    depth: np.ndarray,
    rng: np.random.Generator,
    radius: float,
    spacing: float,
    contrast: float,
    look: Look,
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Change of each voxel, core and sign of a blob that fits into the brain, beside the others, at this contrast; or None."""
    low, high = WIDE_RANGE if look.sign else RANGE
    room = np.argwhere(depth > 0.7 * radius)
    for _ in range(TRIES if len(room) else 0):
        centre = room[rng.integers(len(room))] + rng.uniform(-0.5, 0.5, 3)
        soft, change = (x * (depth > 0) for x in lesion_profile(rng, image.shape, centre, radius / spacing, look))
        core = soft > 0.5
        if not core.any() or (mask[core] > 0).any():
            continue
        mean = float(image[core].mean())
        wanted = (float(look.sign),) if look.sign else (1.0, -1.0)
        signs = [s for s in wanted if low <= mean + s * contrast <= high]
        if signs:
            return change, core, signs[rng.integers(len(signs))]
    return None


def brain_depth(image: np.ndarray, spacing: float) -> np.ndarray:
    """How far each voxel of a brain lies under its surface, mm.

    Args:
        image: [X, Y, Z] on an isotropic grid, 0 outside the brain.
        spacing: of the grid, mm.

    Returns:
        float [X, Y, Z], 0 outside.

    Example:
        >>> brain_depth(np.pad(np.ones((5, 5, 5)), 1), 2.0).max()
        6.0
    """
    return distance_transform_edt(image != 0) * spacing


def add_lesions(
    image: np.ndarray,
    affine: np.ndarray,
    rng: np.random.Generator,
    grade: str,
    count: int,
    noise_std: float,
    varied: bool = False,
    depth: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Lesion]]:
    """Draw `count` lesions of one grade into a brain (0 outside, about 1 in white matter), before noise is added.

    Lesions do not touch; one that finds no place is left out. At last the intensities of the whole brain are matched to
    those that it had without lesions, rank by rank: no histogram tells an abnormal brain from a normal one. Of varied ones only
    every other brain's are: what enhances is brighter than any tissue, and matching would hide it.

    Args:
        image: float32 [X, Y, Z] on an isotropic grid.
        affine: 4x4 voxel to world of that grid.
        noise_std: standard deviation of the noise to come, the unit of the contrast.
        varied: each lesion has a `varied_look`.
        depth: what `brain_depth` gives, where it is known already.

    Returns:
        the image with lesions, the uint8 mask, one `Lesion` each.
    """
    spacing = float(np.sqrt((affine[:3, 0] ** 2).sum()))
    brain = image > 0
    depth = brain_depth(image, spacing) if depth is None else depth
    healthy, mask = image, np.zeros(image.shape, np.uint8)
    cores: list[tuple[np.ndarray, float]] = []
    while len(cores) < count:
        radius = rng.uniform(*GRADES[grade].radius)
        contrast = rng.uniform(*GRADES[grade].cnr) * noise_std
        look = varied_look(rng) if varied else PLAIN_LOOK
        place = _find_place(image, mask, depth, rng, radius, spacing, contrast, look)
        if place is None:
            break
        change, core, sign = place
        image = np.where(brain, np.clip(image + sign * contrast * change / change[core].mean(), 0.05, None), 0)
        mask[core] = 1
        cores.append((core, radius))
    image = image.astype(np.float32)
    if not varied or rng.random() < 0.5:
        image[brain] = matched(image[brain], healthy[brain])
    lesions = []
    for core, radius in cores:
        change = (image - healthy)[core]
        centre = apply_affine(affine, np.argwhere(core).mean(0))
        lesions.append(
            Lesion(
                grade,
                "hyper" if change.mean() > 0 else "hypo",
                round(float(np.abs(change).mean() / noise_std), 2),
                round(radius, 2),
                round(float(core.sum()) * spacing**3, 1),
                (round(float(centre[0]), 1), round(float(centre[1]), 1), round(float(centre[2]), 1)),
            )
        )
    return image, mask, lesions

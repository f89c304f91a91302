"""A test cohort on real people with lesions of another kind than those trained on.

The generator of `hrcam_monai simulate` draws smooth ellipsoids of added contrast and matches the histogram. This one draws
clusters of small balls with a soft halo, mixes tissue towards a target intensity with a texture of its own, leaves the
histogram as it comes, and adds Rician noise. It shares no lesion code with the training cohort, so that maps are tested on
what the network cannot have learnt by heart.

    python benchmarks/second_lesions.py --output work/second --anatomy oasis/1000_SS.nii.gz --anatomy ...
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import typer
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from tqdm import tqdm

from hrcam_monai.data.slices import visible_slices
from hrcam_monai.phantoms.anatomy import load_anatomy, warp

# contrast to noise and radius of the cluster in mm: the ranges of the training cohort, so that grades mean the same
GRADES = {"plain": ((12, 16), (9, 14)), "moderate": ((8, 12), (7, 12)), "faint": ((5, 8), (6, 9))}
PLAN = ("none", "plain", "none", "moderate", "none", "faint")  # subjects made of each person
BALLS = 12
TRIES = 50


def cluster(rng: np.random.Generator, shape: tuple[int, ...], centre: np.ndarray, radius: float) -> np.ndarray:
    """Soft indicator in [0, 1] of a cluster of balls, solid in the middle, with a halo; centre and radius in voxels."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    inside = np.zeros(shape, bool)
    for _ in range(BALLS):
        direction = rng.normal(size=3)
        middle = centre + direction / np.linalg.norm(direction) * radius * rng.uniform(0, 0.65)
        inside |= ((grid - middle) ** 2).sum(-1) < (radius * rng.uniform(0.6, 0.8)) ** 2
    return np.clip(gaussian_filter(inside.astype(np.float32), 0.8) * 1.1, 0, 1)


def add_cluster(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, grade: str, noise: float, spacing: float
) -> np.ndarray:
    """The image with one lesion more, marked in `mask`; unchanged if it finds no place.

    Args:
        image: [X, Y, Z], 0 outside the brain, about 1 in white matter.
        mask: uint8 [X, Y, Z], written to.
        noise: standard deviation of the noise to come, the unit of the contrast.
        spacing: of the isotropic grid, mm.
    """
    contrasts, radii = GRADES[grade]
    contrast, radius = rng.uniform(*contrasts) * noise, rng.uniform(*radii)
    room = np.argwhere(distance_transform_edt(image > 0) * spacing > 0.7 * radius)
    for _ in range(TRIES if len(room) else 0):
        soft = cluster(rng, image.shape, room[rng.integers(len(room))].astype(float), radius / spacing) * (image > 0)
        core = soft > 0.5
        mean = float(image[core].mean()) if core.any() else 0.0
        signs = [s for s in (-1, 1) if 0.3 < mean + s * contrast < 1.1]
        if not core.any() or mask[core].any() or not signs:
            continue
        target = mean + signs[rng.integers(len(signs))] * contrast
        texture = 1 + 0.06 * gaussian_filter(rng.normal(size=image.shape), 1.0) / 0.17
        mask[core] = 1
        share = 0.85 * soft  # some of the tissue shows through
        return image * (1 - share) + share * (target + 0.15 * (target - mean)) * texture
    return image


def kind(image: np.ndarray, healthy: np.ndarray, mask: np.ndarray) -> str:
    """Whether a head's lesions are brighter than what was there, darker, or some the one and some the other; "none" without."""
    parts, count = label(mask)
    brighter = [image[parts == i + 1].mean() > healthy[parts == i + 1].mean() for i in range(count)]
    return "none" if not count else "bright" if all(brighter) else "mixed" if any(brighter) else "dark"


def make_subject(
    path: Path, rng: np.random.Generator, grade: str, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """int16 image, uint8 mask [X, Y, Z], affine, and the kind of the lesions of one subject."""
    healthy, affine = warp(load_anatomy(path), rng, spacing)
    image, brain, mask = healthy, healthy > 0, np.zeros(healthy.shape, np.uint8)
    noise = rng.uniform(0.02, 0.028)
    for _ in range(int(rng.integers(1, 4)) if grade != "none" else 0):
        image = add_cluster(image, mask, rng, grade, noise, spacing)
    found = kind(image, healthy, mask)
    ramp = np.tensordot(rng.uniform(-0.08, 0.08, 3), np.indices(image.shape) / np.array(image.shape)[:, None, None, None], 1)
    image = np.hypot(image * (1 + ramp) + rng.normal(0, noise, image.shape), rng.normal(0, noise, image.shape))
    return np.where(brain, np.clip(image * rng.uniform(300, 1200), 1, None), 0).round().astype(np.int16), mask, affine, found


def main(
    output: Annotated[Path, typer.Option(help="Folder of the cohort.")],
    anatomy: Annotated[list[Path], typer.Option(exists=True, dir_okay=False, help="Skull-stripped T1, repeated.")],
    seed: Annotated[int, typer.Option(help="Same seed and files, same bytes.")] = 2,
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size, mm.")] = 2.0,
) -> None:
    """Write images, masks and manifest.json (all subjects in the test split): six subjects of each person."""
    for folder in ("images", "masks"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    for person, path in enumerate(tqdm(anatomy, desc="second lesions", unit="person")):
        for turn, grade in enumerate(PLAN):
            name = f"sub-{len(entries) + 1:04d}"
            image, mask, affine, found = make_subject(path, np.random.default_rng([seed, person, turn]), grade, spacing)
            entry = {"image": f"images/{name}_T1w.nii.gz", "mask": f"masks/{name}_lesions.nii.gz", "subject": name, "kind": found}
            nib.save(nib.Nifti1Image(image, affine), output / entry["image"])
            nib.save(nib.Nifti1Image(mask, affine), output / entry["mask"])
            named = "abnormal" if mask.any() else "normal"
            shown = {"slices": visible_slices(mask, affine)} if mask.any() else {}
            entries.append({**entry, "label": named, "grade": grade if mask.any() else "none", **shown})
    manifest = {
        "name": "second lesions",
        "description": f"Clusters of balls drawn into {len(anatomy)} brains; seed {seed}.",
        "classes": ["normal", "abnormal"],
        "training": [],
        "validation": [],
        "test": entries,
    }
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1))
    (output / "simulation.json").write_text(json.dumps({"people": len(anatomy), "seed": seed, "spacing": spacing}))
    typer.echo(f"manifest: {output / 'manifest.json'}")


if __name__ == "__main__":
    typer.run(main)

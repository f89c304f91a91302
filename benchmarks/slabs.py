"""How well the place of a thin slab is found in the template (`prepare --roi`), and how similar wrong places are.

Slabs cut, tilted and shifted from whole heads whose own registration is the truth; phantoms in a scanner's frame; and, where the
real data are, a volunteer's neuromelanin slab with its skull, whose midbrain others have registered by way of a T1.

    python benchmarks/slabs.py --cohort work/parkinson_nm
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import typer
from as_source import scanner_frame
from common import MIDBRAIN, RESULTS, ROOT, environment, table, write_json
from nibabel.affines import apply_affine, from_matvec
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from hrcam_monai.data.itk_images import from_array, one_thread
from hrcam_monai.data.manifest import LEFT, RIGHT
from hrcam_monai.data.reading import read_scan
from hrcam_monai.phantoms.anatomy import grid_points
from hrcam_monai.phantoms.neuromelanin import solid
from hrcam_monai.prepare.registration import matrix, register, similarity, transform_of
from hrcam_monai.prepare.slab import register_slab

SIZES, SHAPE = np.array([0.75, 0.75, 2.2]), np.array([266, 266, 12])
WRONG = ((15, 0), (25, 0), (0, 15), (0, 30), (20, 20))  # mm and degrees that a place is moved by on purpose


@dataclass(frozen=True, eq=False)
class Slab:
    """An image [X, Y, Z] with its affine, a point of the template, and where that truly lies in the slab's world."""

    kind: str
    image: np.ndarray
    affine: np.ndarray
    point: np.ndarray
    truth: np.ndarray


def cut(path: Path, rng: np.random.Generator) -> Slab:
    """26 mm of a stripped head: nodding by up to 20 degrees, middle up to 15 mm away in-plane and 6 mm along the stack."""
    head = read_scan(path)
    affine = head.affine.numpy()
    middle = apply_affine(matrix(register(from_array(head[0].numpy(), affine), "affine")), np.array(MIDBRAIN))
    turn = Rotation.from_euler("xyz", rng.uniform([-20, -5, -5], [20, 5, 5]), degrees=True).as_matrix()
    shifted = middle + turn @ rng.uniform([-5, -5, -6], [5, 15, 6])
    grid = from_matvec(turn * SIZES, shifted - turn * SIZES @ ((SHAPE - 1) / 2))
    voxels = apply_affine(np.linalg.inv(affine), grid_points(tuple(SHAPE), grid))
    image = map_coordinates(head[0].numpy(), np.moveaxis(voxels, -1, 0), order=1)
    return Slab("cut from a T1", image.astype(np.float32), grid, np.array(MIDBRAIN), middle)


def middle_of_nigra(path: str, frame: np.ndarray) -> np.ndarray:
    """Middle of both sides in a phantom's regions."""
    regions = nib.load(path)
    return apply_affine(frame @ regions.affine, np.argwhere(np.isin(np.asarray(regions.dataobj), (LEFT, RIGHT)))).mean(0)


def slabs(cohort: Path, data: Path, count: int) -> Iterator[Slab]:
    """All that there are."""
    space = grid_points((60, 60, 40), from_matvec(np.eye(3), [-30, -45, -35]))
    nominal = space[sum(solid(space, side, 0.0, (7.0, 2.6, 5.5), -14.5) for side in (-1, 1)) > 0.5].mean(0)
    entries = json.loads((cohort / "manifest.json").read_text())["training"][:count]
    for i, entry in enumerate(entries):
        scan, frame = read_scan(cohort / entry["image"]), scanner_frame(i)
        truth = middle_of_nigra(str(cohort / entry["regions"]), frame)
        yield Slab("phantom", scan[0].numpy(), frame @ scan.affine.numpy(), nominal, truth)
    folder = data / "neuromelanin"
    if folder.is_dir():
        scan, places = read_scan(folder / "sub-001_NM.nii.gz"), []
        for name in ("midbrain_atlas_space-MNI152NLin2009cSym", "sub-001_midbrain_atlas_space-NM"):
            atlas = nib.load(folder / f"{name}.nii.gz")
            places.append(apply_affine(atlas.affine, np.argwhere(np.asarray(atlas.dataobj) == 2)).mean(0))
        yield Slab("volunteer's neuromelanin slab", scan[0].numpy(), scan.affine.numpy(), *places)
    rng = np.random.default_rng(0)
    for path in sorted((data / "oasis_healthy_t1").glob("*.nii.gz"))[:count]:
        yield cut(path, rng)


def displaced(found: np.ndarray, about: np.ndarray, mm: float, degrees: float, rng: np.random.Generator) -> Any:
    """A transform to a wrong place: turned about a point, and shifted."""
    axes = rng.normal(size=(2, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * axes[0]).as_matrix()
    return transform_of(from_matvec(turn, about + mm * axes[1] - turn @ about) @ found)


def measure(slab: Slab) -> dict[str, Any]:
    """Distance between the place found and the true one, its similarity, and those of wrong places."""
    image, rng = from_array(slab.image, slab.affine), np.random.default_rng(0)
    transform = register_slab(image, "affine", MIDBRAIN)
    found = matrix(transform)
    wrong = [similarity(image, displaced(found, slab.truth, *by, rng), margin=True) for by in WRONG]
    return {
        "kind": slab.kind,
        "error_mm": float(np.linalg.norm(apply_affine(found, slab.point) - slab.truth)),
        "similarity": similarity(image, transform, margin=True),
        "wrong": wrong,
    }


def main(
    cohort: Annotated[Path, typer.Option(help="Of `hrcam_monai simulate --task parkinson_nm`.")],
    data: Annotated[Path, typer.Option(help="Real scans; left out where they are not.")] = ROOT.parent / "shared" / "data",
    count: Annotated[int, typer.Option(help="Slabs of each kind, at most.")] = 8,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Measure, print and write benchmarks/results/slabs.json."""
    one_thread()
    with ProcessPoolExecutor(workers, initializer=one_thread) as pool:
        rows = list(tqdm(pool.map(measure, slabs(cohort, data, count)), desc="slabs"))
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        errors = [row["error_mm"] for row in own]
        least, most = min(row["similarity"] for row in own), max(max(row["wrong"]) for row in own)
        lines.append([kind, str(len(own)), f"{np.mean(errors):.1f}", f"{max(errors):.1f}", f"{least:.3f}", f"{most:.3f}"])
    typer.echo(table(["slabs", "n", "mean error, mm", "largest", "least similarity", "largest of a wrong place"], lines))
    write_json(RESULTS / "slabs.json", {**environment(0), "slabs": rows})


if __name__ == "__main__":
    typer.run(main)

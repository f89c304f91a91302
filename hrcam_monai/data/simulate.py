"""A cohort of simulated abnormalities on real anatomy: the first experiment of the HR-CAM paper, made offline.

The paper does not say how its abnormalities were made; this protocol is ours (docs/simulation.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from hrcam_monai.data.anatomy import Anatomy, load_anatomy, smooth_field, warp
from hrcam_monai.data.lesions import Lesion, add_lesions
from hrcam_monai.data.writing import write_volume

CLASSES = ("normal", "abnormal")
SPLITS = ("training", "validation", "test")
TURNS = ("plain", "moderate", "plain", "faint")  # grades of the abnormal subjects of a split, in this order
VISIBLE = 0.4  # a slice is listed as showing a lesion from this share of the subject's largest cross-section on


@dataclass(frozen=True)
class SimulatedSubject:
    """One subject: int16 image and uint8 lesion mask [X, Y, Z] on the same grid, its affine and its lesions."""

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    lesions: list[Lesion]


def simulate_subject(
    anatomy: Anatomy, rng: np.random.Generator, grade: str | None = None, spacing: float = 2.0
) -> SimulatedSubject:
    """Warp the anatomy, draw 1 to 4 lesions if a grade is given, then gamma, bias field, noise and scanner gain.

    Args:
        anatomy: what `load_anatomy` returns.
        rng: the only source of chance.
        grade: key of `hrcam_monai.data.lesions.GRADES`, or None for a normal subject.
        spacing: isotropic voxel size in mm.

    Example:
        >>> subject = simulate_subject(load_anatomy(), np.random.default_rng(0), "plain")
        >>> subject.lesions[0].grade
        'plain'
    """
    image, affine = warp(anatomy, rng, spacing)
    noise_std = rng.uniform(0.02, 0.028)
    mask = np.zeros(image.shape, np.uint8)
    lesions: list[Lesion] = []
    if grade is not None:
        image, mask, lesions = add_lesions(image, affine, rng, grade, int(rng.integers(1, 5)), noise_std)
    brain = image > 0
    gamma, gain = rng.uniform(0.8, 1.25), rng.uniform(200, 1500)
    image = image**gamma * np.exp(smooth_field(rng, image.shape, 5, 0.1))
    image = np.clip(image + rng.normal(0, noise_std, image.shape), 0.02, None)
    return SimulatedSubject(np.where(brain, image * gain, 0).round().astype(np.int16), mask, affine, lesions)


@dataclass(frozen=True)
class Cohort:
    """What makes a cohort: the same values give the same bytes. Written to `simulation.json`."""

    subjects: int
    seed: int
    spacing: float
    anatomy: tuple[str, ...]
    split: tuple[float, ...]
    oblique: int

    def plan(self) -> list[dict[str, str]]:
        """Split, label and grade of every subject: in each split half are abnormal, grades taking turns."""
        ends = np.round(np.cumsum(self.split) / sum(self.split) * self.subjects).astype(int)
        plan: list[dict[str, str]] = []
        for split, first, last in zip(SPLITS, (0, *ends[:-1]), ends, strict=True):
            for i in range(last - first):
                grade = TURNS[(i // 2) % len(TURNS)] if i % 2 else "none"
                plan.append({"subject": f"sub-{len(plan) + 1:04d}", "split": split, "grade": grade})
        return plan


def turned(subject: SimulatedSubject) -> SimulatedSubject:
    """The same head as a scanner may write it: axes left, posterior, superior, tilted by 18 and 10 degrees."""
    image, mask = subject.image[::-1, ::-1], subject.mask[::-1, ::-1]
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = np.array(image.shape[:2]) - 1
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xz", [18, 10], degrees=True).as_matrix()
    affine = tilt @ subject.affine @ flip
    return SimulatedSubject(np.ascontiguousarray(image), np.ascontiguousarray(mask), affine, subject.lesions)


def visible_slices(mask: np.ndarray, affine: np.ndarray) -> list[list[int]]:
    """Ranges [first, last] of the axial slices that show the mask well: `VISIBLE` of its largest cross-section or more.

    Axial is the voxel axis nearest to the superior-inferior direction, whatever the file's orientation.
    """
    axis = int(np.argmax(nib.io_orientation(affine)[:, 0] == 2))
    area = mask.sum(tuple(a for a in range(3) if a != axis))
    shown = (area > 0) & (area >= VISIBLE * area.max())
    steps = np.diff(np.concatenate([[0], shown.astype(int), [0]]))
    return [[int(a), int(b) - 1] for a, b in zip(np.where(steps == 1)[0], np.where(steps == -1)[0], strict=True)]


@cache
def _anatomies(paths: tuple[str, ...]) -> list[Anatomy]:
    return [load_anatomy(p) for p in paths] or [load_anatomy()]


def _make(cohort: Cohort, folder: Path, job: tuple[int, dict[str, str]]) -> dict[str, object]:
    """Make one subject unless it is there, and return its manifest entry."""
    index, planned = job
    name, grade = planned["subject"], planned["grade"]
    image, mask = Path("images") / f"{name}_T1w.nii.gz", Path("masks") / f"{name}_lesions.nii.gz"
    record = folder / "images" / f"{name}_T1w.json"  # written last: its presence says that the subject is complete
    if not record.is_file():
        anatomies = _anatomies(cohort.anatomy)
        anatomy = anatomies[index % len(anatomies)] if len(anatomies) > 1 else anatomies[0]
        rng = np.random.default_rng([cohort.seed, index])
        subject = simulate_subject(anatomy, rng, None if grade == "none" else grade, cohort.spacing)
        if index >= cohort.subjects - cohort.oblique:
            subject = turned(subject)
        write_volume(subject.image, subject.affine, folder / image)
        write_volume(subject.mask, subject.affine, folder / mask)
        content = {
            "anatomy": anatomy.name,
            "lesions": [x.record() for x in subject.lesions],
            "slices": visible_slices(subject.mask, subject.affine),
        }
        record.write_text(json.dumps(content, indent=1))
    slices = json.loads(record.read_text())["slices"]
    return {
        "image": image.as_posix(),
        "label": CLASSES[grade != "none"],
        "mask": mask.as_posix(),
        "subject": name,
        "grade": grade,
        **({"slices": slices} if slices else {}),
    }


def simulate_cohort(
    output: str | Path,
    subjects: int = 600,
    seed: int = 0,
    spacing: float = 2.0,
    anatomy: Sequence[str | Path] = (),
    split: tuple[float, float, float] = (4, 1, 1),
    oblique: int = 0,
    workers: int | None = None,
) -> Path:
    """Write images, lesion masks and `manifest.json` into `output`; a second call finishes what a first one left.

    Args:
        output: folder, made if needed.
        subjects: how many, over all splits; half are abnormal.
        seed: same seed and arguments, same bytes.
        spacing: isotropic voxel size in mm.
        anatomy: skull-stripped T1 files that subjects take turns on; by default the ICBM152 template.
        split: shares of training, validation and test.
        oblique: how many of the last subjects are written as an oblique, left-posterior-superior file.
        workers: processes; by default one a core.

    Returns:
        path of the manifest.

    Raises:
        ValueError: the folder holds a cohort of other arguments.
    """
    folder = Path(output)
    cohort = Cohort(subjects, seed, spacing, tuple(str(Path(p).resolve()) for p in anatomy), tuple(map(float, split)), oblique)
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    settings = folder / "simulation.json"
    names = [Path(p).name for p in anatomy] or ["ICBM152"]
    wanted = json.dumps({**asdict(cohort), "anatomy": names}, indent=1)
    if settings.is_file() and settings.read_text() != wanted:
        raise ValueError(f"{settings}: this folder holds a cohort of other settings; choose another --output.")
    settings.write_text(wanted)
    plan = cohort.plan()
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        made = pool.map(partial(_make, cohort, folder), enumerate(plan))
        entries = list(tqdm(made, total=len(plan), desc="simulate", unit="subject"))
    sections = {s: [e for e, p in zip(entries, plan, strict=True) if p["split"] == s] for s in SPLITS}
    manifest = {
        "name": "simulated abnormalities",
        "description": f"Simulated lesions on the anatomy of {', '.join(names)}; seed {seed}.",
        "classes": list(CLASSES),
        **sections,
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=1))
    return path

"""A simulated cohort on real anatomy, made offline: the experiments of the HR-CAM paper (`hrcam_monai.phantoms`).

The paper does not say how its abnormalities were made; these protocols are ours (docs/simulation.md, docs/tasks.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from hrcam_monai.data.itk_images import FLIP
from hrcam_monai.data.manifest import SPLITS
from hrcam_monai.data.slices import visible_slices
from hrcam_monai.data.writing import write_volume
from hrcam_monai.phantoms.abnormalities import simulate_subject
from hrcam_monai.phantoms.anatomy import Anatomy, load_anatomy
from hrcam_monai.phantoms.task import TASKS, SimulatedSubject
from hrcam_monai.utils.files import write_json
from hrcam_monai.utils.run_settings import RunSettings

__all__ = ["SimulatedSubject", "simulate_cohort", "simulate_subject", "turned"]

ABNORMALITIES = "abnormalities"  # the task unless told otherwise


@dataclass(frozen=True)
class _Cohort:
    """What makes a cohort: the same values give the same bytes. Written to `simulation.json`."""

    subjects: int
    seed: int
    spacing: float
    anatomy: tuple[str, ...]
    split: tuple[float, ...]
    oblique: int
    task: str = ABNORMALITIES

    def plan(self) -> list[dict[str, str]]:
        """Split, class, grade and anatomy of each subject: in each split the classes take turns, their grades, and its people."""
        task = TASKS[self.task]
        plan: list[dict[str, str]] = []
        counts = np.diff(self._ends(self.subjects), prepend=0)
        for split, count, people in zip(SPLITS, counts, self._people(), strict=True):
            for i in range(count):
                label, grade = task.turn(0 if task.healthy_training and split == "training" else i)
                name = f"sub-{len(plan) + 1:04d}"
                # heads of one person follow each other: a head is read once for all of them
                anatomy = people[i * len(people) // count] if people else ""
                chosen = {"label": task.classes[label], "grade": grade, "anatomy": anatomy}
                plan.append({"subject": name, "split": split, **chosen})
        return plan

    def _ends(self, number: int) -> np.ndarray:
        return np.round(np.cumsum(self.split) / sum(self.split) * number).astype(int)

    def _people(self) -> list[list[str]]:
        """The anatomies of each split: no person is in two. One anatomy alone, as the template, serves all."""
        if len(self.anatomy) < 2:
            return [list(self.anatomy)] * len(SPLITS)
        order = [self.anatomy[i] for i in np.random.default_rng(self.seed).permutation(len(self.anatomy))]
        ends = self._ends(len(order))
        shares = [sorted(order[first:last]) for first, last in zip((0, *ends[:-1]), ends, strict=True)]
        if any(share and not people for share, people in zip(self.split, shares, strict=True)):
            raise ValueError(f"{len(order)} anatomies are too few for splits of {self.split}; give more, or fewer splits.")
        return shares

    def settings(self) -> dict[str, object]:
        """As written to `simulation.json`; the task that it is unless told otherwise goes without saying."""
        content = asdict(self) | {"anatomy": [Path(p).name for p in self.anatomy] or ["ICBM152"]}
        if self.task == ABNORMALITIES:
            del content["task"]
        return content


def turned(subject: SimulatedSubject) -> SimulatedSubject:
    """The same head as a scanner may write it: axes left, posterior, superior, tilted by 18 and 10 degrees."""
    image, mask = (np.ascontiguousarray(x[::-1, ::-1]) for x in (subject.image, subject.mask))
    regions = None if subject.regions is None else np.ascontiguousarray(subject.regions[::-1, ::-1])
    flip = FLIP.copy()
    flip[:2, 3] = np.array(image.shape[:2]) - 1
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xz", [18, 10], degrees=True).as_matrix()
    affine = tilt @ subject.affine @ flip
    return replace(subject, image=image, mask=mask, affine=affine, regions=regions)


@lru_cache(maxsize=2)
def _anatomy(path: str) -> Anatomy:
    return load_anatomy(path or None)


def _make(cohort: _Cohort, folder: Path, job: tuple[int, dict[str, str]]) -> dict[str, object]:
    """Make one subject unless it is there, and return its manifest entry."""
    index, planned = job
    name, grade, task = planned["subject"], planned["grade"], TASKS[cohort.task]
    image = Path("images") / f"{name}_{task.suffix}.nii.gz"
    mask, regions = Path("masks") / f"{name}_lesions.nii.gz", Path("regions") / f"{name}_regions.nii.gz"
    record = folder / "images" / f"{name}_{task.suffix}.json"  # written last: its presence says that the subject is complete
    if not record.is_file():
        anatomy = _anatomy(planned["anatomy"])
        subject = task.make(anatomy, np.random.default_rng([cohort.seed, index]), grade, cohort.spacing)
        if index >= cohort.subjects - cohort.oblique:
            subject = turned(subject)
        write_volume(subject.image, subject.affine, folder / image)
        write_volume(subject.mask, subject.affine, folder / mask)
        entry = dict(subject.entry)
        if subject.regions is not None:
            write_volume(subject.regions, subject.affine, folder / regions)
            entry["regions"] = regions.as_posix()
        content = {
            "anatomy": anatomy.name,
            "lesions": [x.record() for x in subject.lesions],
            "slices": visible_slices(subject.shown, subject.affine),
            **({"entry": entry} if entry else {}),
        }
        write_json(content, record)
    made = json.loads(record.read_text())
    return {
        "image": image.as_posix(),
        "label": planned["label"],
        "mask": mask.as_posix(),
        "subject": name,
        "grade": grade,
        **made.get("entry", {}),
        **({"slices": made["slices"]} if made["slices"] else {}),
    }


def simulate_cohort(
    output: str | Path,
    subjects: int = 600,
    seed: int = 0,
    spacing: float | None = None,
    anatomy: Sequence[str | Path] = (),
    split: tuple[float, float, float] = (4, 1, 1),
    oblique: int = 0,
    workers: int | None = None,
    task: str = ABNORMALITIES,
) -> Path:
    """Write images, lesion masks and `manifest.json` into `output`; a second call finishes what a first one left.

    Args:
        output: folder, made if needed.
        subjects: how many, over all splits; the classes take turns.
        seed: same seed and arguments, same bytes.
        spacing: voxel size in mm (of neuromelanin slabs in-plane); the task's own if not given.
        anatomy: skull-stripped T1 files, or folders of them, a person each; people are split, so that no one is in two splits.
            By default the ICBM152 template, which all splits share.
        split: shares of training, validation and test.
        oblique: how many of the last subjects are written as an oblique, left-posterior-superior file.
        workers: processes; by default one a core.
        task: key of `hrcam_monai.phantoms.TASKS`.

    Returns:
        path of the manifest.

    Raises:
        ValueError: an unknown task, an anatomy that the task cannot use, fewer people than splits, or a folder that holds a
            cohort of other arguments.
    """
    if task not in TASKS:
        raise ValueError(f"task is '{task}'; choose one of {', '.join(TASKS)}.")
    chosen = TASKS[task]
    if anatomy and chosen.template_only:
        raise ValueError(f"task {task} is drawn in the space of the ICBM152 template; leave --anatomy out.")
    folder = Path(output)
    files = [f for p in map(Path, anatomy) for f in (sorted(p.glob("*.nii*")) if p.is_dir() else [p])]
    if anatomy and not files:
        raise ValueError(f"{', '.join(map(str, anatomy))}: holds no .nii or .nii.gz file; give skull-stripped T1 files.")
    paths = tuple(str(f.resolve()) for f in files)
    cohort = _Cohort(subjects, seed, spacing or chosen.spacing, paths, tuple(map(float, split)), oblique, task)
    for sub in ("images", "masks", *(["regions"] if chosen.regions else [])):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    settings = RunSettings(folder, cohort.settings(), "simulation.json")
    people = ", ".join(f.name for f in files) if len(files) < 6 else f"{len(files)} people"
    plan = cohort.plan()
    if settings.before and settings.changed:
        changed = ", ".join(settings.changed)
        raise ValueError(f"{settings.path}: this folder holds a cohort of other settings ({changed}); choose another --output.")
    settings.write()
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        made = pool.map(partial(_make, cohort, folder), enumerate(plan))
        entries = list(tqdm(made, total=len(plan), desc="simulate", unit="subject"))
    sections = {s: [e for e, p in zip(entries, plan, strict=True) if p["split"] == s] for s in SPLITS}
    manifest = {
        "name": chosen.name,
        "description": chosen.description.format(anatomy=people or "ICBM152", seed=seed),
        "classes": list(chosen.classes),
        **sections,
    }
    path = folder / "manifest.json"
    write_json(manifest, path)
    return path

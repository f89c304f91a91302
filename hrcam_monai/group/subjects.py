"""The subjects of a folder that inference or cross-validation wrote: their maps, groups and covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nilearn.image import new_img_like, smooth_img
from tqdm import tqdm

from hrcam_monai.data.failures import Failures
from hrcam_monai.data.manifest import Manifest
from hrcam_monai.data.reading import read_nifti, read_scan
from hrcam_monai.group.space import check_alignment, on_template, scan_to_template, template
from hrcam_monai.handlers.predictions import read_predictions
from hrcam_monai.metrics.laterality import laterality_index
from hrcam_monai.transforms.regions import nigral_laterality

__all__ = ["Stack", "covariate_table", "find_subjects", "load_maps", "map_class", "with_covariates"]


@dataclass
class _Subject:
    """One person: all images of one count once, with the mean of their maps.

    Attributes:
        name: the manifest's subject, or the map's name without a manifest.
        label: name of the class, None where it is not known.
        entry: the manifest's, of the first image.
        images: (scan, map) files.
    """

    name: str
    label: str | None
    entry: Mapping[str, Any]
    images: list[tuple[str, Path]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Stack:
    """Maps of subjects on the template's grid.

    Attributes:
        subjects: those whose maps could be used.
        values: [N, X, Y, Z], logits, NaN outside the scan.
        sides: laterality index of each.
        nigral: sides are those of the substantia nigra, by the regions that all subjects have; else of the brain's halves.
        mean_scan: [X, Y, Z], mean of the scans, each over its own 99th percentile; to see whether they are aligned.
    """

    subjects: list[_Subject]
    values: np.ndarray
    sides: list[float]
    nigral: bool
    mean_scan: np.ndarray


def map_class(rows: Sequence[Mapping[str, str]], folder: Path) -> str:
    """The class that all maps of the folder show.

    Raises:
        ValueError: they show several, or it is not noted.
    """
    shown = sorted({row.get("map_class") or "" for row in rows})
    if len(shown) == 1 and shown[0]:
        return shown[0]
    found = f"are of several classes ({', '.join(shown)})" if len(shown) > 1 else "do not say of which class they are"
    raise ValueError(f"{folder}: its maps {found}; make them of one: inference with --map_class NAME --resume False.")


def find_subjects(folder: Path, manifest: Manifest | None = None) -> tuple[str, list[_Subject]]:
    """Class of the maps, and the subjects with a map; labels are the manifest's, or the column `label`.

    Raises:
        FileNotFoundError: the folder holds no predictions.
        ValueError: no maps, of several classes, or of images that the manifest does not list.
    """
    missing = {failure.file for failure in manifest.failures} if manifest else set()
    rows = [row for row in read_predictions(folder) if row["file"] not in missing]
    entries = {e["image"]: e for listed in (manifest.entries.values() if manifest else ()) for e in listed}
    found: dict[str, _Subject] = {}
    for row in rows:
        entry = entries.get(row["file"], {})
        if manifest and not entry:
            raise ValueError(f"{manifest.path}: does not list {row['file']}; give --dataset-dir of the cohort of {folder}.")
        heat = folder / "maps" / f"{row['subject']}_map.nii.gz"
        if heat.is_file():
            name = str(entry.get("subject", row["subject"]))
            label = manifest.classes[entry["label"]] if manifest else row.get("label") or None
            found.setdefault(name, _Subject(name, label, entry)).images.append((row["file"], heat))
    if not found:
        raise ValueError(f"{folder / 'maps'}: holds no maps; run inference or cross-validate into {folder} first.")
    return map_class(rows, folder), list(found.values())


def with_covariates(subjects: Sequence[_Subject], names: Sequence[str], failures: Failures) -> list[_Subject]:
    """Those whose entries hold a number for each name; the others are noted.

    Raises:
        ValueError: no one's does.
    """
    faults = {s.name: _fault(s, names) for s in subjects}
    for name in names:
        if not any(_is_number(s.entry.get(name)) for s in subjects):
            raise ValueError(f"covariate '{name}' is a number in no subject's entry; give --dataset-dir of a manifest with it.")
    for subject in subjects:
        if faults[subject.name]:
            failures.add(subject.name, subject.images[0][0], faults[subject.name])
    return [s for s in subjects if not faults[s.name]]


def _fault(subject: _Subject, names: Sequence[str]) -> str:
    """What is wrong with the first covariate that is no number; empty if all are."""
    for name in names:
        value = subject.entry.get(name)
        if value is None:
            return f"has no {name} to take out; give it in the table of labels and prepare again"
        if not _is_number(value):
            return f"its {name} is {value!r}, no number; correct the table of labels and prepare again"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def covariate_table(subjects: Sequence[_Subject], names: Sequence[str]) -> np.ndarray | None:
    """Numbers [N, C] of the entries of `with_covariates`; None without names."""
    return np.array([[float(s.entry[name]) for name in names] for s in subjects]) if names else None


def _side(subject: _Subject, values: np.ndarray, spacing: int, nigral: bool) -> float:
    """Laterality in the nigra by the subject's regions, else of the halves of the template."""
    if nigral:
        regions = subject.entry["regions"]
        return float(np.mean([nigral_laterality(read_scan(heat, blank=True), regions) for _, heat in subject.images]))
    affine = template(spacing)[0].affine
    x = affine[0, 0] * np.arange(values.shape[0]) + affine[0, 3]
    inside = template(spacing)[1] & np.isfinite(values)
    return laterality_index(values[x < 0][inside[x < 0]], values[x > 0][inside[x > 0]])


def load_maps(subjects: Sequence[_Subject], spacing: int, fwhm: float, signed: bool, failures: Failures) -> Stack:
    """Read, smooth and resample all maps; a subject that cannot be used is noted, and costs only itself.

    Args:
        subjects: what `find_subjects` returns.
        spacing: of the template's grid, whole mm.
        fwhm: of the smoothing, mm; 0 for none.
        signed: values below zero count, too; sides are of those above, in any case.
        failures: where they are noted.

    Raises:
        ValueError: no subject is left.
    """
    kept, values, sides = [], [], []
    total = np.zeros(template(spacing)[0].shape)
    count = np.zeros_like(total)
    nigral = all(subject.entry.get("regions") for subject in subjects)  # sides of both kinds are not to be mixed
    for subject in tqdm(subjects, desc="maps", unit="subject"):
        try:
            ways = [scan_to_template(file) for file, _ in subject.images]
            maps = [_ready(heat, fwhm, signed) for _, heat in subject.images]
            mean = np.mean([on_template(m, spacing, way) for m, way in zip(maps, ways, strict=True)], axis=0)
            anatomy = on_template(read_nifti(subject.images[0][0]), spacing, ways[0])
            if ways[0] is None:  # else a registration has vouched for it
                check_alignment(anatomy, spacing)
            side = _side(subject, mean, spacing, nigral)
        except Exception as error:
            failures.add(subject.name, subject.images[0][0], error)
            continue
        kept.append(subject)
        values.append(mean)
        sides.append(side)
        count += np.isfinite(anatomy)
        total += np.nan_to_num(anatomy) / max(float(np.nanpercentile(anatomy, 99)), 1e-6)
    if not kept:
        raise ValueError(f"none of {len(subjects)} subjects can be used; {failures.path} says why.")
    return Stack(kept, np.stack(values), sides, nigral, (total / np.maximum(count, 1)).astype(np.float32))


def _ready(path: Path, fwhm: float, signed: bool) -> Any:
    """A map, of which the negative part may be left out, smoothed."""
    image: Any = nib.load(path)
    if not signed:
        image = new_img_like(image, np.clip(np.asarray(image.dataobj), 0, None))
    return smooth_img(image, fwhm) if fwhm else image

"""`python -m hrcam_monai group`: means of groups, their difference, peaks and sides, in template space."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.stats import t as student

from hrcam_monai.data.failures import Failures
from hrcam_monai.data.manifest import load_manifest
from hrcam_monai.data.writing import write_volume
from hrcam_monai.group.figures import draw_alignment, draw_map
from hrcam_monai.group.page import markdown
from hrcam_monai.group.peaks import peak_table
from hrcam_monai.group.space import template
from hrcam_monai.group.statistics import Difference, group_difference
from hrcam_monai.group.subjects import Stack, covariate_table, find_subjects, load_maps, with_covariates
from hrcam_monai.metrics.cohort import summarize
from hrcam_monai.utils.csv_files import write_csv
from hrcam_monai.utils.environment import environment
from hrcam_monai.utils.files import write_json, write_text

__all__ = ["group_maps"]

ALL = "all"
HALF = 0.5  # of a mean map's largest value: from there on its peaks are listed
UNCORRECTED = 0.001  # two-sided p from which on peaks of t are listed, each with its corrected p
SIGNIFICANT = 0.05
PEAK_COLUMNS = ("map", "cluster", "x", "y", "z", "value", "cluster_mm3", "p")


def _file_name(text: str) -> str:
    """A name that can be a file's: a class may be called AD/MCI.

    Example:
        >>> _file_name("mean_AD/MCI")
        'mean_AD_MCI'
    """
    return re.sub(r"[^\w.-]+", "_", text)


def _group_lines(stack: Stack, inside: np.ndarray, labels: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """Number of subjects, largest value of the mean map inside, and sides of those whose maps have one, of each group."""
    lines = {}
    for name in dict.fromkeys(labels):
        own = [i for i, label in enumerate(labels) if label == name]
        sides = np.array([stack.sides[i] for i in own])
        mean = summarize(sides, seed=seed)
        lines[name] = {
            "subjects": len(own),
            "largest": float(stack.values[own][:, inside].mean(0).max()),
            "sided": mean.subjects,
            "laterality": mean.mean,
            "laterality_ci95": [mean.low, mean.high],
            "left": int((sides > 0).sum()),
            "right": int((sides < 0).sum()),
        }
    return lines


class _Pages:
    """Writes maps with their pictures and peaks, and keeps what the page says of them.

    Args:
        folder: of all files.
        spacing: of the template's grid, whole mm.
        inside: voxels [X, Y, Z] that all subjects share.
    """

    def __init__(self, folder: Path, spacing: int, inside: np.ndarray) -> None:
        self.folder = folder
        self.background = template(spacing)[0]
        self.inside = inside
        self.voxel_mm3 = float(spacing**3)
        self.maps: dict[str, dict[str, Any]] = {}

    def volume(self, values: np.ndarray, name: str) -> Any:
        """Write values [V] of the voxels inside as `name`.nii.gz, 0 elsewhere, and give the image."""
        volume = np.zeros(self.inside.shape, np.float32)
        volume[self.inside] = values
        write_volume(volume, self.background.affine, self.folder / f"{name}.nii.gz")
        return nib.Nifti1Image(volume, self.background.affine)

    def add(self, values: np.ndarray, name: str, title: str, threshold: float, p: np.ndarray | None = None) -> None:
        """A map [V] with its peaks beyond the threshold and, if there are any, pictures."""
        image = self.volume(values, name)
        grid = np.ones(self.inside.shape)
        if p is not None:
            grid[self.inside] = p
        peaks = peak_table(image, threshold, None if p is None else grid)
        pictures = draw_map(image, self.background, title, threshold, self.folder, name) if peaks else []
        self.maps[name] = {"title": title, "threshold": threshold, "pictures": pictures, "peaks": peaks}


def _write_difference(pages: _Pages, found: Difference, group: str, freedom: int) -> str:
    """Write `difference`, `t` and `corrected_p` (1 - p, as other tools do: a viewer's threshold of 0.95 fits it).

    Returns:
        a note for the page.
    """
    pages.volume(found.mean, "difference")
    pages.volume(1 - found.p, "corrected_p")
    least = float(student.isf(UNCORRECTED / 2, freedom))
    pages.add(found.t, "t", f"{group} against the others: t", least, found.p)
    below = float((found.p < SIGNIFICANT).sum()) * pages.voxel_mm3
    return (
        f"Peaks of t: two-sided p below {UNCORRECTED} uncorrected; corrected p from {found.permutations} permutations of the "
        f"largest |t|. {below:.0f} mm3 have a corrected p below {SIGNIFICANT}."
    )


def _write_alignment(pages: _Pages, mean_scan: np.ndarray, brain: np.ndarray) -> None:
    """`mean_scan.nii.gz` and `alignment.png`."""
    affine = pages.background.affine
    write_volume(mean_scan, affine, pages.folder / "mean_scan.nii.gz")
    outline = nib.Nifti1Image(brain.astype(np.float32), affine)
    draw_alignment(nib.Nifti1Image(mean_scan, affine), outline, pages.folder / "alignment.png")


def group_maps(
    folder: Path,
    output: Path,
    dataset_dir: Path | None = None,
    spacing: int = 2,
    fwhm: float = 4.0,
    signed: bool = False,
    covariates: Sequence[str] = (),
    permutations: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Lay the maps of a folder over one another, and compare the class they show with the others.

    Args:
        folder: what inference or cross-validate wrote, with maps of one class (`map_class`), of scans in template space.
        output: folder of the results.
        dataset_dir: of the cohort: labels, regions and covariates.
        spacing: of the template's grid, whole mm.
        fwhm: of the smoothing of the maps before, mm; 0 for none.
        signed: count values below zero too; without it they are zero, as viewers show them.
        covariates: entries of the manifest to take out of the comparison, as `age`.
        permutations: of the max-statistic test.
        seed: of permutations and bootstrap.

    Returns:
        what `group.json` holds.

    Raises:
        FileNotFoundError, ValueError: the folder, a covariate or the cohort cannot be used.
        SystemExit: status 1 at the end, if subjects could not be used.

    Example:
        >>> group_maps(Path("my_folds"), Path("my_group"), Path("my_study"))  # doctest: +SKIP
    """
    manifest = load_manifest(dataset_dir) if dataset_dir else None
    shown, subjects = find_subjects(folder, manifest)
    failures = Failures(output, known=manifest.failures if manifest else ())
    subjects = with_covariates(subjects, covariates, failures)
    stack = load_maps(subjects, spacing, fwhm, signed, failures)
    labels = [s.label or ALL for s in stack.subjects]
    brain = template(spacing)[1]
    inside = brain & np.isfinite(stack.values).all(0)
    if not inside.any():
        raise ValueError(f"no voxel of the template's brain is in all {len(labels)} scans; leave those of other parts out.")
    values = stack.values[:, inside]
    pages = _Pages(output, spacing, inside)
    notes = [
        f"{inside.sum() * pages.voxel_mm3 / 1000:.0f} ml of the template's brain lie in all scans. Maps "
        f"{'with their sign' if signed else 'above zero'}, smoothed by {fwhm:g} mm, on a grid of {spacing} mm."
    ]
    for name in dict.fromkeys(labels):
        mean = values[[label == name for label in labels]].mean(0)
        pages.add(mean, _file_name(f"mean_{name}"), f"Mean of {name}", HALF * max(float(mean.max()), 0.0))
    member = np.array([label == shown for label in labels])
    try:
        found = group_difference(values, member, covariate_table(stack.subjects, covariates), permutations, seed)
    except ValueError as error:  # means, peaks and sides are worth having without it
        notes.append(f"No comparison: {error}")
    else:
        notes.append(_write_difference(pages, found, shown, len(labels) - 2 - len(covariates)))
        notes += [f"Taken out: {', '.join(covariates)}."] if covariates else []
    _write_alignment(pages, stack.mean_scan, brain)
    rows = [
        {"subject": s.name, "group": label, "laterality": side}
        for s, label, side in zip(stack.subjects, labels, stack.sides, strict=True)
    ]
    write_csv(output / "subjects.csv", rows)
    write_csv(output / "peaks.csv", [{"map": n, **row} for n, m in pages.maps.items() for row in m["peaks"]], PEAK_COLUMNS)
    summary = environment(seed) | {
        "map_class": shown,
        "subjects": len(labels),
        "groups": _group_lines(stack, inside, labels, seed),
        "regions": "the substantia nigra" if stack.nigral else "the halves of the brain",
        "maps": pages.maps,
        "notes": notes,
    }
    write_json(summary, output / "group.json")
    write_text(output / "group.md", markdown(summary))
    failures.finish()
    return summary

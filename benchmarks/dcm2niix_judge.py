"""Our reader beside dcm2niix: voxel for voxel and millimetre for millimetre, on pydicom's test files and on made series.

python benchmarks/dcm2niix_judge.py   # needs dcm2niix (Debian: apt-get install dcm2niix)

Writes benchmarks/results/dcm2niix.json and the table in docs/robustness.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from common import RESULTS, ROOT, environment, fill, table, write_json
from dicom_cases import VALUES, Case, made, of_pydicom

from hrcam_monai.data.reading import ScanError, read_nifti

SAME_MM, SAME_VALUE = 0.01, 1e-4  # of corners; of values, relative to the largest


def converted(folder: Path, out: Path) -> tuple[list[nib.Nifti1Image], list[str]]:
    """What dcm2niix makes of a folder, and what it says."""
    out.mkdir(parents=True, exist_ok=True)
    call = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s", "-o", str(out), str(folder)]
    ran = subprocess.run(call, capture_output=True, text=True, check=False, errors="replace")
    said = [line.strip() for line in (ran.stdout + ran.stderr).splitlines() if line.startswith(("Warning", "Error"))]
    return [nib.load(p) for p in sorted(out.glob("*.nii"))], [line.replace(f"{folder}/", "") for line in said]


def read(path: Path) -> tuple[nib.Nifti1Image | None, str]:
    """What we make of a folder or file, or what we say."""
    try:
        return read_nifti(path), ""
    except ScanError as error:
        return None, str(error).removeprefix(f"{path}: ")


def corners_apart(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """How far two affines put the corners of a volume apart, mm: the farthest."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1).T
    off = nib.affines.apply_affine(one, corners) - nib.affines.apply_affine(other, corners)
    return round(float(np.linalg.norm(off, axis=1).max()), 4)


def apart(one: nib.Nifti1Image, other: nib.Nifti1Image) -> dict[str, Any]:
    """How far two volumes are apart: the farthest corner in mm, the largest difference of values; both are put upright first."""
    a, b = nib.as_closest_canonical(one), nib.as_closest_canonical(other)
    if a.shape != b.shape:
        return {"shapes": [list(a.shape), list(b.shape)]}
    values = np.abs(np.asarray(a.dataobj, float) - np.asarray(b.dataobj, float)).max()
    return {
        "mm": corners_apart(a.affine, b.affine, a.shape[:3]),
        "value": float(f"{values:.4g}"),
        "largest": float(np.abs(np.asarray(a.dataobj, float)).max()),
    }


def same(found: Mapping[str, Any]) -> bool:
    """Whether two volumes are one to the tolerances."""
    return "mm" in found and found["mm"] < SAME_MM and found["value"] <= SAME_VALUE * max(found["largest"], 1)


def nearest(volumes: list[nib.Nifti1Image], other: nib.Nifti1Image) -> dict[str, Any]:
    """How far that of several volumes is apart which is like it most."""
    found = [apart(v, other) for v in volumes]
    return min(found, key=lambda f: (f.get("mm", np.inf), f.get("value", np.inf)))


def misplaced(volumes: list[nib.Nifti1Image], where: Callable[[int], np.ndarray]) -> dict[str, Any]:
    """How far the slices of a volume lie from where their headers put them, mm; slices are known by their values.

    dcm2niix keeps columns and turns rows over; a slice whose values it has interpolated is nowhere to be found.
    """
    places = [
        np.linalg.norm((v.affine @ [0, v.shape[1] - 1, j, 1])[:3] - where(i) * [-1, -1, 1])
        for v in volumes
        for j in range(v.shape[2])
        for i, values in enumerate(VALUES)
        if v.ndim == 3 and np.array_equal(np.asarray(v.dataobj)[:, ::-1, j].T, values)
    ]
    return {"slices": len(places), "mm": round(float(max(places, default=0.0)), 2)}


def judged(name: str, folder: Path, out: Path, case: Case | None = None) -> dict[str, Any]:
    """One row: what both make of a folder, how far apart, and how far each is from what is known to be right."""
    right = case.volume() if case is not None else None
    ours, refused = read(folder)
    theirs, said = converted(folder, out)
    row: dict[str, Any] = {
        "case": name,
        "ours": refused or list(ours.shape),
        "dcm2niix": [list(v.shape) for v in theirs],
        "says": said,
    }
    if ours is not None and theirs:
        row["apart"] = nearest(theirs, ours)
    if right is not None:
        row |= {"ours_to_right": apart(ours, right) if ours is not None else None}
        row |= {"dcm2niix_to_right": nearest(theirs, right) if theirs else None}
    if case is not None and case.where is not None:
        row["dcm2niix_misplaced"] = misplaced(theirs, case.where)
    return row | ({"reason": case.reason} if case is not None else {})


def told(found: Mapping[str, Any] | None) -> str:
    """How far two volumes are apart, in words."""
    if found is None:
        return "no volume"
    if "shapes" in found:
        return "other slices"
    return "the same" if same(found) else f"{found['mm']:.2g} mm, values by {found['value']:.3g}"


def tables(content: Mapping[str, Any]) -> str:
    """The result as Markdown: made series, then pydicom's files."""

    def seen(row: Mapping[str, Any]) -> list[str]:
        ours = f"refused: {row['ours']}" if isinstance(row["ours"], str) else " x ".join(map(str, row["ours"]))
        shapes = "; ".join(" x ".join(map(str, s)) for s in row["dcm2niix"]) or "nothing"
        return [ours, shapes]

    head = ["series", "ours", "dcm2niix", "ours, to what is right", "dcm2niix, to what is right", "why"]
    rows = []
    for row in content["made"]:
        known = "ours_to_right" in row
        distances = [told(row["ours_to_right"]), told(row["dcm2niix_to_right"])] if known else ["no volume is right", ""]
        if "dcm2niix_misplaced" in row:
            distances[1] = f"slices off by {row['dcm2niix_misplaced']['mm']:.1f} mm"
        rows.append([row["case"], *seen(row), *distances, row["reason"]])
    other = [[row["case"], *seen(row), told(row["apart"]) if "apart" in row else ""] for row in content["pydicom"]]
    return f"{table(head, rows)}\n\n{table(['file of pydicom', 'ours', 'dcm2niix', 'apart'], other)}"


def run(work: Path) -> dict[str, Any]:
    """All rows."""
    rows = []
    for number, case in enumerate(made()):
        folder = work / f"made_{number}"
        case.write(folder)
        rows.append(judged(case.name, folder, work / f"made_{number}_out", case))
    others = []
    for number, (name, files) in enumerate(of_pydicom()):
        folder = work / f"pydicom_{number}"
        folder.mkdir()
        for file in files:
            shutil.copyfile(file, folder / file.name)
        others.append(judged(name, folder, work / f"pydicom_{number}_out"))
    return {"made": rows, "pydicom": others}


def version() -> str:
    """Of dcm2niix.

    Raises:
        SystemExit: it is not installed.
    """
    if shutil.which("dcm2niix") is None:
        raise SystemExit("dcm2niix is not installed; apt-get install dcm2niix.")
    return subprocess.run(["dcm2niix", "--version"], capture_output=True, text=True, check=False).stdout.strip().splitlines()[-1]


def main() -> None:
    """Run, write the JSON file and put the tables into docs/robustness.md."""
    about = {**environment(0), "dcm2niix": version()}
    with tempfile.TemporaryDirectory() as work:
        content = about | run(Path(work))
    write_json(RESULTS / "dcm2niix.json", content)
    page = ROOT / "docs" / "robustness.md"
    fill(page, "dcm2niix", f"By `python benchmarks/dcm2niix_judge.py`, dcm2niix {content['dcm2niix']}.\n\n{tables(content)}")
    print(tables(content))


if __name__ == "__main__":
    main()

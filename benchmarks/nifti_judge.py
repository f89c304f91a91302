"""Our reader beside the reference library of NIfTI: where a file's header says that its voxels lie, and what they hold.

python benchmarks/nifti_judge.py   # needs nifti_tool (Debian: apt-get install nifti-bin)

Writes benchmarks/results/nifti_judge.json and the table in docs/robustness.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from common import RESULTS, ROOT, environment, fill, table, write_json
from dcm2niix_judge import corners_apart, read

VALUES = np.random.default_rng(0).integers(1, 900, (12, 11, 10)).astype(np.int16)
QFORM = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.2, 0.3) * [2.0, 2.0, 3.0], [-11, -9, 4])
OTHER = nib.affines.from_matvec(nib.eulerangles.euler2mat(-0.2, 0.1, 0.0) * [2.3, 2.2, 2.1], [30, -40, 15])  # of a registration


def saved(path: Path, edit: Callable[[Any], None], kind: Any = nib.Nifti1Image) -> Path:
    """A file whose header is edited as a whole, its checks aside."""
    image = kind(VALUES, QFORM)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    content, size = path.read_bytes(), image.header.sizeof_hdr
    header = kind.header_class(content[:size], check=False)
    edit(header)
    path.write_bytes(header.binaryblock + content[size:])
    return path


def forms(qform: np.ndarray | None, qcode: int, sform: np.ndarray | None, scode: int, **fields: Any) -> Callable[[Any], None]:
    """An edit of both forms, and of single fields after them."""

    def edit(header: Any) -> None:
        if qform is not None:
            header.set_qform(qform, qcode)
        header["qform_code"] = qcode
        if sform is not None:
            header.set_sform(sform, scode)
        header["sform_code"] = scode
        for name, value in fields.items():
            header[name] = value

    return edit


LEFT = QFORM @ np.diag([-1.0, 1, 1, 1])
CASES: dict[str, Callable[[Any], None]] = {
    "sform and qform agree": forms(QFORM, 1, QFORM, 1),
    "left-handed (qfac -1), qform alone": forms(LEFT, 1, None, 0),
    "sform of a registration, qform of the scanner": forms(QFORM, 1, OTHER, 4),
    "sform alone, pixdim 1, qform_code 0": forms(None, 0, OTHER, 2, pixdim=[1, 1, 1, 1, 1, 1, 1, 1]),
    "qform alone": forms(QFORM, 1, OTHER, 0),
    "neither: both codes 0": forms(QFORM, 0, OTHER, 0),
    "scl_slope 0.5, scl_inter -3": forms(QFORM, 1, QFORM, 1, scl_slope=0.5, scl_inter=-3.0),
    "scl_slope 0: not scaled": forms(QFORM, 1, QFORM, 1, scl_slope=0.0, scl_inter=7.0),
    "lengths in metres": forms(QFORM, 1, QFORM, 1, xyzt_units=1),
    "lengths in micrometres": forms(QFORM, 1, QFORM, 1, xyzt_units=3),
    "no unit": forms(QFORM, 1, QFORM, 1, xyzt_units=0),
    "voxels of 0.03 mm": forms(np.diag([0.03, 0.03, 0.03, 1]), 1, np.diag([0.03, 0.03, 0.03, 1]), 1),
    "voxels of 300 mm": forms(np.diag([300.0, 300, 300, 1]), 1, np.diag([300.0, 300, 300, 1]), 1),
    "intercept that is no number": forms(QFORM, 1, QFORM, 1, scl_slope=1.0, scl_inter=np.nan),
    "unknown datatype": forms(QFORM, 1, QFORM, 1, datatype=7777),
    "singular sform": forms(QFORM, 1, np.diag([2.0, 2.0, 0.0, 1.0]), 1),
}


def reference(path: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What nifti_tool says of a file: its affine (the sform where its code is above 0, else the qform), and its values."""
    fields = ("sform_code", "sto_xyz", "qto_xyz", "scl_slope", "scl_inter")
    call = ["nifti_tool", "-quiet", "-disp_nim", *(w for f in fields for w in ("-field", f)), "-infiles", str(path)]
    lines = subprocess.run(call, capture_output=True, text=True, check=False).stdout.splitlines()
    if len(lines) != len(fields):
        return None, None
    found = {name: np.array(line.split(), float) for name, line in zip(fields, lines, strict=True)}
    matrix = found["sto_xyz"] if found["sform_code"][0] > 0 else found["qto_xyz"]
    slope, intercept = float(found["scl_slope"][0]), float(found["scl_inter"][0])
    return matrix.reshape(4, 4), VALUES * slope + intercept if slope else VALUES.astype(float)


def judged(name: str, path: Path) -> dict[str, Any]:
    """One row: what we read or say, and how far from the reference it is."""
    affine, values = reference(path)
    row: dict[str, Any] = {"case": name, "reference": None if affine is None else affine.round(4).tolist()}
    ours, refused = read(path)
    if ours is None:
        return row | {"ours": refused}
    if affine is None or values is None:
        return row | {"ours": "read"}
    other = float(np.abs(np.asarray(ours.dataobj, float) - values).max())
    return row | {"ours": "read", "mm": corners_apart(ours.affine, affine, VALUES.shape), "value": round(other, 4)}


def tables(content: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    rows = [
        [
            r["case"],
            f"{r['mm']:g} mm, values {r['value']:g}"
            if "mm" in r
            else r["ours"]
            if r["ours"] == "read"
            else f"refused: {r['ours']}",
        ]
        for r in content["rows"]
    ]
    return table(["header", "ours, from the reference"], rows)


def run(work: Path) -> list[dict[str, Any]]:
    """All rows."""
    found = [judged(name, saved(work / f"{i}.nii", edit)) for i, (name, edit) in enumerate(CASES.items())]
    second = saved(work / "two.nii", forms(QFORM, 1, OTHER, 4), nib.Nifti2Image)
    return [*found, judged("NIfTI-2, sform of a registration", second)]


def main() -> None:
    """Run, write the JSON file and put the table into docs/robustness.md."""
    if shutil.which("nifti_tool") is None:
        raise SystemExit("nifti_tool is not installed; apt-get install nifti-bin.")
    told = subprocess.run(["nifti_tool", "-nifti_ver"], capture_output=True, text=True, check=False).stdout.split(",")[0].strip()
    with tempfile.TemporaryDirectory() as work:
        content = {**environment(0), "nifti": told, "rows": run(Path(work))}
    write_json(RESULTS / "nifti_judge.json", content)
    fill(ROOT / "docs" / "robustness.md", "nifti", f"By `python benchmarks/nifti_judge.py`, {told}.\n\n{tables(content)}")
    print(tables(content))


if __name__ == "__main__":
    main()

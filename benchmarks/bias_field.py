"""How much of the substantia nigra's contrast N4 takes from a thin slab, by the least distance of the field's knots.

The field is fitted as `prepare` does; the same slab's crura, which are alike on both sides, show what bias is left.

    python benchmarks/bias_field.py --cohort work/parkinson_nm
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import typer
from common import RESULTS, environment, table, write_json
from tqdm import tqdm

from hrcam_monai.data.itk_images import from_array, one_thread, to_array
from hrcam_monai.data.manifest import CRUS, LEFT, RIGHT, load_manifest
from hrcam_monai.data.reading import read_scan
from hrcam_monai.prepare.bias_field import FINEST, correct_bias, tissue_mask

KNOTS = (1.0, 10.0, FINEST, 40.0)  # mm; 1 lets all four levels of N4 be, as ITK does


def contrasts(image: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Mean of each side's nigra over the mean of the crus cerebri, less one: [left, right]."""
    return np.array([image[regions == side].mean() for side in (LEFT, RIGHT)]) / image[regions == CRUS].mean() - 1


def bias(image: np.ndarray, regions: np.ndarray) -> float:
    """What differs between the left and the right crus, as a share: nothing would, without a bias field."""
    x = np.nonzero(regions == CRUS)[0]
    values = image[regions == CRUS]
    left, right = (values[half].mean() for half in (x < np.median(x), x >= np.median(x)))
    return float(abs(left / right - 1))


def main(
    cohort: Annotated[Path, typer.Option(help="Of `hrcam_monai simulate --task parkinson_nm`.")],
    count: Annotated[int, typer.Option(help="Slabs.")] = 20,
) -> None:
    """Measure, print and write benchmarks/results/bias_field.json."""
    one_thread()
    rows: dict[str, list[list[float]]] = {"none": [], **{f"{mm:g}": [] for mm in KNOTS}}
    for entry in tqdm(load_manifest(cohort, strict=True).entries["training"][:count], desc="N4", unit="slab"):
        scan, regions = read_scan(Path(entry["image"])), np.asarray(nib.load(entry["regions"]).dataobj)
        drawn = scan[0].numpy()
        image = from_array(drawn, scan.affine.numpy())
        mask = tissue_mask(image)
        for knots, found in rows.items():
            made = drawn if knots == "none" else to_array(correct_bias(image, mask, finest=float(knots)))[0]
            found.append([float((contrasts(made, regions) / contrasts(drawn, regions)).mean()), bias(made, regions)])
    lines = []
    for knots, found in rows.items():
        kept, left = np.array(found).T
        lines.append([knots, f"{kept.mean():.2f}", f"{kept.std():.2f}", f"{100 * left.mean():.1f}"])
    typer.echo(table(["knots, mm (none: no N4)", "contrast kept", "SD", "crus left - right, %"], lines))
    write_json(RESULTS / "bias_field.json", {**environment(0), "slabs": len(found), "kept_and_bias": rows})


if __name__ == "__main__":
    typer.run(main)

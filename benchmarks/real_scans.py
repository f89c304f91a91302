"""Real scans through the chain with networks that have only seen phantoms: does it run, and what do the maps mark?

Two gliomas and an enhancing lesion on contrast-enhanced T1, a DICOM series, a slab of neuromelanin MRI. The networks never saw a
patient, so this says nothing about how good they are; it says whether the chain holds on scans that nobody drew.

python benchmarks/real_scans.py --tumours work/tumours/model.pt --nigra work/nigra/model.pt
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import typer
from common import MIDBRAIN, RESULTS, ROOT, environment, write_json
from nibabel.affines import apply_affine

from hrcam_monai.data.manifest import CRUS, LEFT, RIGHT
from hrcam_monai.data.reading import read_nifti
from hrcam_monai.data.sidecar import read_sidecar
from hrcam_monai.prepare.inputs import Choice
from hrcam_monai.prepare.run import prepare_cohort
from hrcam_monai.prepare.steps import Steps
from hrcam_monai.utils.csv_files import read_csv

CLASSES = {"ependymoma_gbm": ["ependymoma", "glioblastoma"], "parkinson_nm": ["control", "parkinson"]}
GRID: dict[str, dict[str, Any]] = {  # the tumours' network was trained at 2 mm
    "ependymoma_gbm": {"spacing": [2, 2, 2], "roi_size": [80, 100, 80], "slice_sigma": 2.0},
    "parkinson_nm": {},
}
BRATS = "brats_2013_pat000{}_1__"


def collect(data: Path, work: Path) -> None:
    """A BIDS folder of the contrast-enhanced T1, brain and lesion masks beside it, and a folder of DICOM."""
    scans = {"sub-lesion": read_nifti(data / "enhancing_lesion_t1ce" / "brain1_image.nrrd")}
    lesions = {"sub-lesion": read_nifti(data / "enhancing_lesion_t1ce" / "brain1_label.nrrd", blank=True)}
    for folder in ("brains", "lesions"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for i in (1, 2):
        name, source = f"sub-glioma{i}", data / "glioma_t1ce" / BRATS.format(i)
        scans[name] = nib.load(f"{source}T1c_subtrMeanDivStd.nii.gz")
        lesions[name] = nib.load(f"{source}OTMultiClass.nii.gz")
        shutil.copy(f"{source}brainmask.nii.gz", work / "brains" / f"{name}.nii.gz")
    for name, scan in scans.items():
        kind = "bids" if name != "sub-lesion" else "bids_whole_head"  # no brain mask of it: see docs/tasks.md
        (work / kind / name / "anat").mkdir(parents=True, exist_ok=True)
        nib.save(scan, work / kind / name / "anat" / f"{name}_ce-gd_T1w.nii.gz")
        mask = (np.asarray(lesions[name].dataobj) > 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, lesions[name].affine), work / "lesions" / f"{name}.nii.gz")
    shutil.copytree(data / "dicom_series", work / "dicom" / "series", dirs_exist_ok=True)


def tumours(work: Path) -> Path:
    """A cohort of what `prepare` makes of them, with their lesions; the DICOM series has none."""
    gliomas, others, series = work / "prepared", work / "prepared_whole_head", work / "prepared_dicom"
    # the gliomas come as z-scores, of which a bias field cannot be taken out
    prepare_cohort(Choice(work / "bids", brain_masks=str(work / "brains" / "{subject}.nii.gz")), gliomas, Steps(n4=False), None)
    prepare_cohort(Choice(work / "bids_whole_head"), others, Steps(strip="never"), None)
    prepare_cohort(Choice(work / "dicom"), series, Steps(strip="never"), None)
    cohort, entries = work / "cohort", []
    cohort.mkdir(exist_ok=True)
    for image in sorted(path for folder in (gliomas, others, series) for path in (folder / "images").glob("*.nii.gz")):
        shutil.copy(image, cohort / image.name)
        entry = {"image": image.name, "label": "glioblastoma", "subject": image.name.split(".")[0]}
        mask = work / "lesions" / image.name
        if mask.is_file():
            shutil.copy(mask, cohort / f"mask_{image.name}")
            entry["mask"] = f"mask_{image.name}"
        entries.append(entry)
    manifest = {"classes": CLASSES["ependymoma_gbm"], "test": entries}
    (cohort / "manifest.json").write_text(json.dumps(manifest))
    return cohort


def slab(data: Path, work: Path) -> Path:
    """A cohort of what `prepare` makes of the volunteer's slab; the nigra of its atlas is parted at its middle."""
    source, anatomy, drawn = data / "neuromelanin", work / "slab_bids" / "sub-slab" / "anat", work / "slab_regions"
    for folder in (anatomy, drawn):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "sub-001_NM.nii.gz", anatomy / "sub-slab_NM.nii.gz")
    atlas: Any = nib.load(source / "sub-001_midbrain_atlas_space-NM.nii.gz")
    labels = np.asarray(atlas.dataobj).round().astype(int)
    index = np.argwhere(labels == 2)
    x = apply_affine(atlas.affine, index)[:, 0]
    regions = np.where(labels == 1, CRUS, 0).astype(np.uint8)
    regions[tuple(index.T)] = np.where(x < np.median(x), LEFT, RIGHT)
    nib.save(nib.Nifti1Image(regions, atlas.affine), drawn / "sub-slab.nii.gz")
    cohort, steps = work / "slab", Steps(roi=MIDBRAIN)
    prepare_cohort(Choice(work / "slab_bids", suffix="NM", regions=str(drawn)), cohort, steps, None)
    image = "images/sub-slab.nii.gz"
    record = read_sidecar(cohort / image)
    typer.echo(f"slab: midbrain at {record['roi']}, similarity {record['similarity']}")
    entry = {"image": image, "regions": "regions/sub-slab.nii.gz", "label": "control", "subject": "slab", "roi": record["roi"]}
    manifest = {"classes": CLASSES["parkinson_nm"], "test": [entry]}
    (cohort / "manifest.json").write_text(json.dumps(manifest))
    return cohort


def run(workflow: str, task: str, cohort: Path, output: Path, checkpoint: Path) -> None:
    """One workflow of the bundle, as a user runs it."""
    files = [str(ROOT / "bundle" / "configs" / f"{name}.json") for name in (workflow, f"tasks/{task}")]
    options = {"dataset_dir": cohort, "split": "test", "output_dir": output, "checkpoint": checkpoint} | GRID[task]
    line = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(files)]
    line += ["--bundle_root", str(ROOT / "bundle"), *(word for key, v in options.items() for word in (f"--{key}", str(v)))]
    subprocess.run(line, check=True)


def main(
    tumour_weights: Annotated[Path, typer.Option("--tumours", help="Trained on phantoms of ependymoma_gbm, 2 mm.")],
    nigra_weights: Annotated[Path, typer.Option("--nigra", help="Trained on phantoms of parkinson_nm.")],
    data: Annotated[Path, typer.Option(help="Folder of the scans.", envvar="HRCAM_REAL_DATA")] = ROOT.parent / "shared" / "data",
    work: Annotated[Path, typer.Option(help="Folder of what is made.")] = Path("work/real"),
) -> None:
    """Prepare, infer, evaluate; pictures lie in the overlays folders."""
    collect(data, work)
    cohort = tumours(work)
    run("inference", "ependymoma_gbm", cohort, work / "tumour_maps", tumour_weights)
    run("evaluate", "ependymoma_gbm", cohort, work / "tumour_evaluation", tumour_weights)
    run("inference", "parkinson_nm", slab(data, work), work / "slab_maps", nigra_weights)
    found = {}
    for folder in ("tumour_maps", "slab_maps"):
        for row in read_csv(work / folder / "predictions.csv"):
            found[row["subject"]] = {k: v for k, v in row.items() if k == "predicted" or k.startswith("probability")}
    for row in read_csv(work / "tumour_evaluation" / "per_subject.csv"):
        found[row["subject"]] |= {k: row[k] for k in ("pixel_ap", "best_dice", "pointing", "peak_distance_mm") if row[k]}
    for subject, values in found.items():
        typer.echo(f"{subject}: {', '.join(f'{k} {v}' for k, v in values.items())}")
    write_json(RESULTS / "real_scans.json", {**environment(0), "scans": found})


if __name__ == "__main__":
    typer.run(main)

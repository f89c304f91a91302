"""A dozen slices of people that the shipped tumour weights have not seen, and their masks: examples/brain_tumours.

python benchmarks/tumours_examples.py --data ../shared/data

The weights are those of fold 0, seed 0 (`benchmarks/tumours.py`), so the slices are of the people of fold 0; which, a rule says.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import ROOT, RealData, write_json
from tumours import CLASSES

NAME = "brain_tumor_t1ce"
FOLD = 0


def chosen(rows: list[dict[str, str]], each: int) -> list[dict[str, str]]:
    """Of each class the middle slice of `each` people of the fold, evenly through the list of people."""
    found = []
    for label in CLASSES[NAME]:
        own = [r for r in rows if r["class"] == label and int(r["fold"]) == FOLD]
        people = list(dict.fromkeys(r["patient"] for r in own))
        for index in np.linspace(0, len(people) - 1, each).round().astype(int):
            slices = [r for r in own if r["patient"] == people[index]]
            found.append(slices[len(slices) // 2])
    return found


def main(
    data: RealData,
    output: Annotated[Path, typer.Option(help="Folder of the examples.")] = ROOT / "examples" / "brain_tumours",
    each: Annotated[int, typer.Option(min=1, help="Slices of each class.")] = 4,
) -> None:
    """Copy the slices and their masks, and write their manifest."""
    source = data / NAME
    with (source / "slices.csv").open() as file:
        rows = chosen(list(csv.DictReader(file)), each)
    content: dict[str, Any] = {"name": "real brain tumours, T1 after contrast", "classes": CLASSES[NAME], "test": []}
    for row in rows:
        for key in ("image", "mask"):
            target = output / row[key]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / row[key], target)
        name = f"{row['patient']}_{Path(row['image']).stem}"
        content["test"].append({"image": row["image"], "mask": row["mask"], "label": row["class"], "subject": name})
    write_json(output / "manifest.json", content)
    size = sum(p.stat().st_size for p in output.rglob("*.png"))
    typer.echo(f"{len(rows)} slices, {size / 1e6:.2f} MB: {output}")


if __name__ == "__main__":
    typer.run(main)

"""What a classifier of real tumours scores that has seen no image: from where a slice lies, how it runs, whose it is.

    python benchmarks/tumours_without_image.py --data ../shared/data

Logistic regression on the training people of each fold, scored on the people held out, as networks are.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import RESULTS, RealData, environment, write_json
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer
from tumour_scores import Row, classified
from tumours import CLASSES, split_of

FOLDS = range(5)
# of each set the columns that are known without the image; a number is given as splines, the rest as categories
KNOWN = {
    "glioma_flair": {"height of the slice": ["relative_z"], "site": ["site"], "both": ["relative_z", "site"]},
    "brain_tumor_t1ce": {"view": ["view"], "source's size": ["source_size"], "both": ["view", "source_size"]},
}
NUMBERS = ("relative_z",)


def classifier(columns: Sequence[str]) -> Any:
    """Logistic regression of columns that lie in this order."""
    numbers = [i for i, c in enumerate(columns) if c in NUMBERS]
    categories = [i for i, c in enumerate(columns) if c not in NUMBERS]
    inputs = make_column_transformer(
        (SplineTransformer(n_knots=6), numbers), (OneHotEncoder(handle_unknown="ignore"), categories)
    )
    return make_pipeline(inputs, LogisticRegression(max_iter=1000))


def told(rows: Sequence[Mapping[str, str]], name: str, columns: Sequence[str], fold: int) -> dict[str, float]:
    """How well these columns tell the classes of the people held out."""
    split = split_of(rows, fold, seed=0)
    labels = np.array([CLASSES[name].index(r["class"]) for r in rows])
    inputs = np.array([[float(r[c]) if c in NUMBERS else r[c] for c in columns] for r in rows], dtype=object)
    training, test = (np.array([split[r["patient"]] == s for r in rows]) for s in ("training", "test"))
    chances = classifier(columns).fit(inputs[training], labels[training]).predict_log_proba(inputs[test])
    own: list[Row] = [{"method": "", "label": k, "logits": z} for k, z in zip(labels[test], chances, strict=True)]
    return classified(own, "logits")


def main(
    data: RealData,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "tumours" / "without_image.json",
) -> None:
    """Print and write what each column tells, fold by fold."""
    found: dict[str, Any] = {}
    for name, known in KNOWN.items():
        if not (data / name).is_dir():
            typer.echo(f"no real data at {data / name}; nothing is measured.")
            return
        with (data / name / "slices.csv").open() as file:
            rows = list(csv.DictReader(file))
        found[name] = {what: [told(rows, name, columns, fold) for fold in FOLDS] for what, columns in known.items()}
        for what, of in found[name].items():
            typer.echo(f"{name}, {what}: { ({k: round(float(np.mean([f[k] for f in of])), 3) for k in of[0]}) }")
    write_json(output, {**environment(0), "folds": found})


if __name__ == "__main__":
    typer.run(main)

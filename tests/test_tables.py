from __future__ import annotations

import csv
import json

import torch
from ignite.engine import Engine

from hrcam_monai.tables import EvaluationWriter, PredictionWriter

CLASSES = ["normal", "abnormal"]


def engine_with():
    """An engine that puts out each row it is run on as a decollated subject; an empty row is a subject that failed."""

    def step(engine, row):
        engine.state.batch = [{}] if row else []
        return [row] if row else []

    return Engine(step)


def row(name, p, label=0, **more):
    probability = torch.tensor([1 - p, p])
    return {
        "subject": name,
        "file": f"{name}.nii",
        "predicted": int(p > 0.5),
        "probabilities": probability,
        "logits": probability.log(),
        "label": label,
        **more,
    }


def test_predictions_table(tmp_path):
    rows = [row("b", 0.9), {}, row("a", 0.2)]
    engine = engine_with()
    PredictionWriter(tmp_path, CLASSES).attach(engine)
    engine.run(rows)
    table = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [r["subject"] for r in table] == ["a", "b"]
    assert table[1] == {
        "subject": "b", "file": "b.nii", "predicted": "abnormal", "probability_normal": "0.100000",
        "probability_abnormal": "0.900000", "logit_normal": "-2.302585", "logit_abnormal": "-0.105361",
    }  # fmt: skip


def test_evaluation_tables_and_groups(tmp_path):
    mask = torch.zeros(1, 4, 4, 4)
    mask[..., 0] = 1
    good, bad = mask.clone(), 1 - mask
    rows = [
        row("n1", 0.1, 0, map=bad, mask=0 * mask),
        row("n2", 0.3, 0),
        row("p", 0.9, 1, map=good, mask=mask, grade="plain"),
        row("f", 0.2, 1, map=bad, mask=mask, grade="faint"),
    ]
    engine = engine_with()
    EvaluationWriter(tmp_path, CLASSES).attach(engine)
    engine.run(rows)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["classification"]["auc"] == 0.75
    assert metrics["localization"]["subjects_with_mask"] == 2
    assert metrics["groups"]["plain"] == {"auc": 1.0, "subjects_with_mask": 1, "pixel_ap": 1.0, "best_dice": 1.0, "pointing": 1.0}
    assert metrics["groups"]["faint"]["auc"] == 0.5
    assert metrics["groups"]["faint"]["pointing"] == 0
    assert len(list(csv.DictReader((tmp_path / "per_subject.csv").open()))) == 4
    assert (tmp_path / "evaluation.png").stat().st_size > 10000

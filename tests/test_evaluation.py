from __future__ import annotations

import csv
import json

import torch

from hrcam_monai.evaluation import EvaluationWriter
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import Displacement
from tests.metrics.test_displacement import blob, shifted_net
from tests.subjects import CLASSES, engine_with, row


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
    plain = metrics["groups"]["plain"]
    assert plain["auc"] == plain["pixel_ap"] == plain["best_dice"] == plain["pointing"] == plain["energy"] == 1
    assert plain["peak_distance_mm"] == 0
    assert plain["subjects_with_mask"] == 1
    assert plain["pixel_ap_ci95"] == [1, 1]
    assert "displacement" not in metrics
    assert metrics["groups"]["faint"]["auc"] == 0.5
    assert metrics["groups"]["faint"]["pointing"] == 0
    assert len(list(csv.DictReader((tmp_path / "per_subject.csv").open()))) == 4
    assert (tmp_path / "evaluation.png").stat().st_size > 10000


def test_maps_of_the_first_class_count_where_it_is_a_finding(tmp_path):
    mask = torch.zeros(1, 4, 4, 4)
    mask[..., 0] = 1
    engine = engine_with()
    EvaluationWriter(tmp_path, CLASSES, first_is_finding=True).attach(engine)
    engine.run([row("a", 0.1, 0, map=mask, mask=mask), row("b", 0.9, 1, map=mask, mask=mask)])
    assert json.loads((tmp_path / "metrics.json").read_text())["localization"]["subjects_with_mask"] == 2


def test_a_displaced_network_is_told(tmp_path, caplog):
    net = shifted_net(2, 3)
    engine = engine_with()
    engine.network = net
    displacement = Displacement(HRCAMInferer(), axes=[0])
    EvaluationWriter(tmp_path, CLASSES, displacement=displacement).attach(engine)
    image = blob((32, 28), (14, 12))[None]
    heat = net.class_maps(image[None])[1][0, 1:].detach()
    engine.run([row("n", 0.1, 0, map=heat, image=image), row("p", 0.9, 1, map=heat, image=image)])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["displacement"]["map"]["axis0"]["subjects"] == 1
    assert metrics["warnings"] == [r.getMessage() for r in caplog.records if "displaced" in r.getMessage()]
    assert metrics["warnings"][0].startswith("Maps are displaced: +3.0 voxels (+3.0 mm) along axis0.")

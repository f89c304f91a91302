from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hrcam_monai.data import Failures
from hrcam_monai.handlers.evaluation import LOCALIZATION, EvaluationWriter, evaluation_summary
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import Displacement
from hrcam_monai.utils.classes import Classes
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


def test_groups_of_either_class_where_both_are_findings(tmp_path):
    engine = engine_with()
    EvaluationWriter(tmp_path, CLASSES, first_is_finding=True).attach(engine)
    rows = [row("a", 0.1, 0, grade="fourth"), row("b", 0.8, 0, grade="lateral"), row("c", 0.9, 1, grade="hemisphere")]
    engine.run([*rows, row("d", 0.5, 1, grade="hemisphere")])
    groups = json.loads((tmp_path / "metrics.json").read_text())["groups"]
    assert {name: found["auc"] for name, found in groups.items()} == {"fourth": 1, "hemisphere": 0.75, "lateral": 0.5}


def test_the_side_counts_where_there_are_regions(tmp_path):
    regions = np.zeros((8, 4, 4), np.uint8)
    regions[:4], regions[4:] = 2, 3
    nib.save(nib.Nifti1Image(regions, np.eye(4)), tmp_path / "regions.nii.gz")
    left = torch.zeros(1, 8, 4, 4)
    left[:, 1] = 1
    common = {"mask": left, "image": MetaTensor(left), "regions": str(tmp_path / "regions.nii.gz")}
    engine = engine_with()
    EvaluationWriter(tmp_path, CLASSES).attach(engine)
    engine.run([row("n", 0.1, 0, **common), row("p", 0.9, 1, map=left, **common), row("q", 0.9, 1, map=left.flip(1), **common)])
    table = list(csv.DictReader((tmp_path / "per_subject.csv").open()))
    assert [r["laterality"] for r in table] == ["", "1.000000", "-1.000000"]
    assert json.loads((tmp_path / "metrics.json").read_text())["localization"]["same_side"] == 0.5


def test_regions_of_some_and_regions_that_cannot_be_read_cost_only_the_side(tmp_path):
    left = torch.zeros(1, 8, 4, 4)
    left[:, 1] = 1
    (tmp_path / "broken.nii.gz").write_bytes(b"cut")
    both = {"map": left, "mask": left, "image": MetaTensor(left)}
    engine = engine_with()
    engine.failures = Failures(tmp_path)
    EvaluationWriter(tmp_path, CLASSES).attach(engine)
    rows = [row("n", 0.1, 0), row("p", 0.9, 1, **both), row("q", 0.9, 1, regions=str(tmp_path / "broken.nii.gz"), **both)]
    engine.run(rows)
    table = list(csv.DictReader((tmp_path / "per_subject.csv").open()))
    assert [r["laterality"] for r in table] == ["", "", ""]
    assert [float(r["pixel_ap"]) for r in table[1:]] == [1, 1]
    assert [(f.subject, Path(f.file).name) for f in engine.failures.found] == [("q", "broken.nii.gz")]


def test_several_images_of_one_subject_count_once():
    base = {"label": 1, "group": "", "probability_normal": 0.1, "probability_abnormal": 0.9, **dict.fromkeys(LOCALIZATION, 0.5)}
    rows = [base | {"subject": s, "pixel_ap": ap} for s, ap in (("a", 0.0), ("a", 1.0), ("b", 0.9))]
    found = evaluation_summary(rows, Classes.of(CLASSES))["localization"]
    assert found["subjects_with_mask"] == 2
    assert found["pixel_ap"] == pytest.approx(0.7)


def test_scans_of_one_person_are_drawn_together():
    rng = np.random.default_rng(0)
    base = {"group": "", **dict.fromkeys(LOCALIZATION, "")}
    one = []
    for i in range(20):
        p = float(rng.random() * 0.6 + 0.4 * (i % 2))
        one.append(base | {"subject": f"s{i}", "label": i % 2, "probability_normal": 1 - p, "probability_abnormal": p})
    alone, tenfold = (evaluation_summary(rows, Classes.of(CLASSES))["classification"] for rows in (one, one * 10))
    assert (tenfold["subjects"], tenfold["scans"], tenfold["counts"]) == (20, 200, {"normal": 10, "abnormal": 10})
    width = [np.diff(found["auc_ci95"])[0] for found in (alone, tenfold)]
    assert width[1] > 0.8 * width[0]


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

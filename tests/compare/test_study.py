import csv
import json

import pytest
import torch

from hrcam_monai.compare import Candidate, Comparison
from hrcam_monai.compare.study import RowFile, faithfulness_scores
from hrcam_monai.data.cohort import FAILED
from hrcam_monai.data.failures import Failures
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import pixel_average_precision
from hrcam_monai.networks import HRCAMNet, StageCNN


def subjects(dims=3):
    shape = (16, 16, 4)[:dims]
    for i in range(6):
        mask = torch.zeros(1, *shape)
        if i % 2:
            mask[(0, *[slice(1, 3)] * dims)] = 1
        grade = "none" if not i % 2 else ("plain", "faint")[i % 4 // 2]
        yield {"subject": f"s{i}", "image": torch.rand(1, *shape) + 2 * mask, "mask": mask, "label": i % 2, "grade": grade}


def candidates(dims=3):
    axis = 2 if dims == 3 else None
    stages = {"channels": (4, 6), "convs": (1, 1)}
    net = HRCAMNet(StageCNN(**stages), num_classes=2, pooling="lse").eval()
    inferer = HRCAMInferer(slice_axis=axis, flip_axes=[0])
    return [Candidate("joint", net, inferer), Candidate("base", StageCNN(**stages).eval(), inferer)]


def study(folder, dims=3, **options):
    options = {"methods": ["MONAI Grad-CAM"], "spacing": (2, 2, 2), "panels": 1, "samples": 20} | options
    return Comparison(list(subjects(dims)), candidates(dims), folder, **options)


@pytest.mark.parametrize("dims", [2, 3])
def test_tables_and_figures(tmp_path, dims):
    torch.manual_seed(1)
    comparison = study(tmp_path, dims, faithfulness=1)
    summary = comparison.run()
    methods = list(dict.fromkeys(x["method"] for x in summary["localization"]))
    assert methods[0] == "HR-CAM, joint"
    assert methods[-2:] == ["MONAI Grad-CAM (base)", "MONAI Grad-CAM, read as HR-CAM (base)"]
    assert {x["group"] for x in summary["localization"]} == {"plain", "faint", "all"}
    whole = next(x for x in summary["localization"] if x["method"] == "HR-CAM, joint" and x["group"] == "all")
    assert whole["subjects"] == 3
    assert 0 <= whole["pixel_ap_ci95"][0] <= whole["pixel_ap"] <= whole["pixel_ap_ci95"][1] <= 1
    assert 0 < whole["deletion_auc"] < 1
    assert json.loads((tmp_path / "comparison.json").read_text()) == summary
    text = (tmp_path / "comparison.md").read_text()
    assert "| HR-CAM, joint | all | 3 |" in text
    assert "MONAI Grad-CAM: a fixed class" in text
    assert [p.name for p in (tmp_path / "panels").iterdir()] == ["s1.png"]
    assert (tmp_path / "summary.png").stat().st_size > 1000


def test_maps_of_the_first_class_count_where_it_is_a_finding(tmp_path):
    marked = [s | {"label": 0, "grade": "site"} if s["mask"].any() else s | {"label": 1} for s in subjects()]
    options = {"methods": [], "spacing": (2, 2, 2), "panels": 0, "samples": 20}
    assert not Comparison(marked, candidates(), tmp_path / "a", **options).run()["localization"]
    found = Comparison(marked, candidates(), tmp_path / "b", **options, first_is_finding=True).run()
    assert {line["group"] for line in found["localization"]} == {"all"}
    assert found["localization"][0]["subjects"] == 3
    assert next(line for line in found["classification"])["subjects"] == 6


def test_rows_are_the_metrics_of_the_maps(tmp_path):
    comparison = study(tmp_path)
    comparison.run()
    rows = list(csv.DictReader((tmp_path / "per_subject.csv").open()))
    item = next(d for d in subjects() if d["subject"] == "s0")
    assert {r["method"] for r in rows if r["subject"] == item["subject"]} == {""}
    torch.manual_seed(0)
    row = next(r for r in rows if r["subject"] == "s1" and r["method"] == "HR-CAM, joint")
    heat = comparison.candidates[0].read(comparison.dataset[1]["image"][None], 1)[1]["HR-CAM, joint"]
    expected = pixel_average_precision(heat, comparison.dataset[1]["mask"][0])
    assert float(row["pixel_ap"]) == pytest.approx(expected, abs=1e-5)


def test_a_stopped_run_goes_on(tmp_path):
    torch.manual_seed(1)
    nets = candidates()
    data = list(subjects())
    options = {"methods": ["MONAI Grad-CAM"], "panels": 0, "samples": 20}
    whole = Comparison(data, nets, tmp_path / "whole", **options).run()
    Comparison(data[:3], nets, tmp_path / "parts", **options).run()
    assert RowFile(tmp_path / "parts" / "per_subject.csv", resume=True).scans == {("s0", ""), ("s1", ""), ("s2", "")}
    found = Comparison(data, nets, tmp_path / "parts", resume=True, **options).run()
    assert (tmp_path / "parts" / "per_subject.csv").read_text() == (tmp_path / "whole" / "per_subject.csv").read_text()
    for a, b in zip(found["localization"], whole["localization"], strict=True):
        assert a["method"] == b["method"]
        assert a["pixel_ap"] == pytest.approx(b["pixel_ap"], abs=1e-5)


@pytest.mark.parametrize(
    ("given", "changed"), [({}, "networks"), ({"methods": []}, "peers"), ({"spacing": (3, 3, 3)}, "spacing")]
)
def test_rows_of_other_networks_or_settings_are_not_gone_on_with(tmp_path, given, changed):
    nets = candidates()
    data, options = list(subjects()), {"methods": ["MONAI Grad-CAM"], "panels": 0, "samples": 20}
    Comparison(data[:2], nets, tmp_path, **options).run()
    before = (tmp_path / "per_subject.csv").read_text()
    if changed == "networks":
        torch.nn.init.ones_(nets[0].network.head.bias)
    with pytest.raises(ValueError, match=rf"holds rows made with other settings \({changed}\); give the same again"):
        Comparison(data, nets, tmp_path, resume=True, **options | given).run()
    assert (tmp_path / "per_subject.csv").read_text() == before
    Comparison(data[:2], nets, tmp_path, **options | given).run()


def test_rows_of_scans_that_are_no_longer_asked_for_are_dropped(tmp_path):
    nets, data = candidates(), list(subjects())
    options = {"methods": ["MONAI Grad-CAM"], "panels": 0, "samples": 20}
    Comparison(data[:2], nets, tmp_path, **options).run()
    summary = Comparison(data[1:4], nets, tmp_path, resume=True, **options).run()
    assert {row["subject"] for row in csv.DictReader((tmp_path / "per_subject.csv").open())} == {"s1", "s2", "s3"}
    assert [x["scans"] for x in summary["classification"] if x["group"] == "all"] == [3, 3]


def test_a_bad_subject_costs_only_itself(tmp_path):
    data = [{FAILED: "is empty", "subject": "bad", "image": "x.nii"}, *subjects()]
    failures = Failures(tmp_path)
    Comparison(data, candidates(), tmp_path, methods=["MONAI Grad-CAM"], panels=0, samples=20, failures=failures).run()
    assert [f.subject for f in failures.found] == ["bad"]


def test_peers_run_on_plain_classifiers_or_where_asked(tmp_path):
    assert list(study(tmp_path / "a").peers) == ["base"]
    assert list(study(tmp_path / "b", peers_on=["joint"]).peers) == ["joint"]
    only = Comparison([], candidates()[:1], tmp_path / "c")
    assert list(only.peers) == ["joint"]


def test_faithfulness_looks_at_a_slab():
    candidate = candidates()[0]
    calls = []
    inferer = candidate.inferer
    candidate.inferer = type("Spy", (), {"slice_axis": 2, "__call__": lambda s, x, n: calls.append(x.shape) or inferer(x, n)})()
    scores = faithfulness_scores(candidate, torch.rand(1, 1, 16, 16, 20), torch.rand(16, 16, 20), 1)
    assert set(scores) == {"deletion_auc", "insertion_auc"}
    assert {tuple(s) for s in calls} == {(1, 1, 16, 16, 8)}


def test_bad_input(tmp_path):
    one = candidates()[0]
    with pytest.raises(ValueError, match=r"candidates are \['joint', 'joint'\]; give at least one, each with a name"):
        Comparison([], [one, one], tmp_path)
    with pytest.raises(ValueError, match="no network 'x' to run peers on; choose among joint"):
        Comparison([], [one], tmp_path, peers_on=["x"])


def test_two_scans_of_a_subject_are_two_rows_and_one_subject(tmp_path):
    data = [d | {"subject": f"s{i % 3}", "file": f"{i}.nii.gz"} for i, d in enumerate(subjects())]
    options = {"methods": ["MONAI Grad-CAM"], "spacing": (2, 2, 2), "panels": 2, "samples": 20}
    nets = candidates()
    first = Comparison(data[:4], nets, tmp_path, **options).run()
    summary = Comparison(data, nets, tmp_path, resume=True, **options).run()
    whole = [
        next(x for x in s["localization"] if x["method"] == "HR-CAM, joint" and x["group"] == "all") for s in (first, summary)
    ]
    assert [(x["subjects"], x["scans"]) for x in whole] == [(2, 2), (3, 3)]
    assert [(x["subjects"], x["scans"]) for x in summary["classification"] if x["group"] == "all"] == [(3, 6), (3, 6)]
    with (tmp_path / "per_subject.csv").open() as stream:
        own = [r for r in csv.DictReader(stream) if r["method"] == "" and r["network"] == "joint"]
    assert [(r["subject"], r["file"]) for r in own] == [(d["subject"], d["file"]) for d in data]
    assert sorted(p.name for p in (tmp_path / "panels").iterdir()) == ["s0_3.png", "s1.png"]
    Comparison(data, candidates(), tmp_path, **options).run()  # once more over the same files
    assert sorted(p.name for p in (tmp_path / "panels").iterdir()) == ["s0_3.png", "s1.png"]

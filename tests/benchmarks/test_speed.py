from __future__ import annotations

import json
from functools import partial

import cases
import pytest
import speed
import torch
from peak_memory import fresh_peak_mb

from hrcam_monai.networks import StageCNN

TINY = cases.Case(
    "tiny",
    "tiny",
    (2, 1, 33, 40),
    partial(StageCNN, 2, channels=(3, 5), convs=(1, 1)),
    "stages.1",
    "fc",
    ("stages.0", "stages.1"),
)
CPU = torch.device("cpu")


@pytest.fixture
def setup() -> cases.Setup:
    return cases.Setup(TINY, cases.make_input(TINY, CPU))


def test_naive_maps_equal_class_maps(setup):
    with torch.no_grad():
        features, head = setup.net.features(setup.x), setup.net.head
        logits, maps = cases.naive_class_maps(features, head.weight, head.bias, [33, 40])
        ours = setup.pooled_by("gap").class_maps(setup.x)
    torch.testing.assert_close(maps, ours[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits, ours[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", cases.METHODS)
def test_every_method_makes_a_map_of_the_inputs_size(setup, method):
    if "TorchCAM" in method:
        pytest.importorskip("torchcam")
    out = cases.ready(method, setup)(setup.x[:1])
    if method == cases.PLAIN:
        assert out.shape == (1, cases.CLASSES)
    else:
        assert out.shape == (1, 1 if "HR-CAM" not in method or "HRCAM" in method else cases.CLASSES, 33, 40)
    assert out.requires_grad is False or method in cases.GRADIENT


def test_all_cases_name_layers_that_exist():
    for case in cases.CASES.values():
        names = dict(case.backbone().named_modules())
        assert {case.last, case.fc, *(case.tap_names or ())} <= set(names)


def test_interleaved_runs_in_turn_and_heavy_methods_in_every_third_round(monkeypatch):
    order: list[str] = []
    wait = {cases.PLAIN: 1.0, "light": 1.0, "heavy": 100.0}

    def call(name: str, x: torch.Tensor) -> float:
        order.append(name)
        return wait[name]

    monkeypatch.setattr(speed, "seconds", lambda call, x: call(x))  # a busy machine makes a light method heavy
    times = speed.interleaved({n: partial(call, n) for n in wait}, torch.zeros(1), 4, "")
    assert order == [*wait, *list(wait)[:2], *list(wait)[:2], *wait]
    assert len(speed.ratios(times, "heavy")) == 2
    figures = speed.figures(times, "light")
    assert figures["rounds"] == 4
    assert figures["ratio"]["min"] <= figures["ratio"]["median"] <= figures["ratio"]["max"]


def test_a_run_reports_failures_and_times_them_at_batch_1(monkeypatch):
    def broken(setup):
        raise ValueError("two\nlines")

    monkeypatch.setitem(cases.METHODS, "broken", broken)
    made = speed.run_case(TINY, CPU, [cases.Mode()], rounds=2, budget=1e-4, memory=False)
    json.dumps(made)
    rows = {(r["method"], r["batch"]): r for r in made["methods"]}
    assert rows["broken", 2]["status"] == rows["broken", 1]["status"] == "failed"
    assert rows["broken", 2]["reason"] == "ValueError: two lines"
    assert rows["HR-CAM, naive", 2]["status"] == "skipped"
    assert rows["HR-CAM, naive", 2]["reason"].startswith("needs 0 GB")
    assert rows["MONAI GradCAMpp", 2]["status"] == "failed"
    assert rows["MONAI GradCAMpp", 1]["ratio"]["median"] > 0
    assert rows[cases.PLAIN, 1]["ratio"]["median"] == 1
    assert made["channels"] == [3, 5]


@pytest.mark.slow
def test_peak_memory_counts_what_naive_hrcam_takes():
    large = cases.Case("large", "", (1, 1, 512, 512), TINY.backbone, TINY.last, TINY.fc)
    ours = fresh_peak_mb(large, cases.OURS[0], batch=1)
    naive = fresh_peak_mb(large, "HR-CAM, naive", batch=1)
    assert 0 < ours < naive
    assert naive > 8 * 512 * 512 * 4 / 1e6  # all channels up-sampled
    with pytest.raises(cases.Skipped):
        fresh_peak_mb(large, "HR-CAM, naive", batch=1, budget=0.001)

from __future__ import annotations

import json

import common
import tables

ROW = {"batch": 1, "precision": "fp32", "compiled": False, "status": "ok", "rounds": 3}
SPEED = {
    "machine": {"cpu": "a CPU", "cores": 2, "threads": 1, "gpu": None},
    "versions": {"torch": "2"},
    "seed": 7,
    "commit": "abc",
    "settings": {"clock": "processor time"},
    "cases": [
        {
            "title": "Net",
            "shape": [1, 1, 8, 8],
            "spatial_dims": 2,
            "classes": 2,
            "channels": [3, 4],
            "image_mb": 5.0,
            "methods": [
                {**ROW, "method": tables.PLAIN, "ratio": {"median": 1.0, "min": 1, "max": 1}, "peak_mb": 100, "peak_ratio": 1.0},
                {
                    **ROW,
                    "method": tables.OURS[0],
                    "ratio": {"median": 1.04, "min": 1, "max": 2},
                    "peak_mb": 121,
                    "peak_ratio": 1.21,
                },
                {**ROW, "method": "peer", "status": "failed", "reason": "Error: a | b"},
            ],
        }
    ],
}


def test_the_page_in_the_repository_is_the_generated_one():
    assert tables.PAGE.read_text() == tables.page()


def test_page_from_json_only(tmp_path):
    assert "python benchmarks/speed.py --device cuda" in tables.page(tmp_path)
    common.write_json(tmp_path / "speed_cpu.json", SPEED)
    text = tables.page(tmp_path)
    assert "### Net, input 1x1x8x8, fp32" in text
    assert "a CPU, 2 cores, 1 thread(s); no GPU; clock: processor time." in text
    assert "torch 2; seed 7; commit abc." in text
    assert "time 1.04, target at most 1.05: **met**; peak 121 MB, target at most 120 MB: **missed**" in text
    assert "failed: Error: a \\| b" in text
    assert "- Cost of class maps, CPU" not in text


def test_environment_has_no_date():
    made = common.environment(3)
    assert set(made) == {"machine", "versions", "seed", "commit"}
    assert made["seed"] == 3
    assert {"cpu", "cores", "threads", "gpu"} == set(made["machine"])
    json.dumps(made)

from __future__ import annotations

import json

import pytest
import throughput

TINY = {
    "roi_size": [24, 28, 20],
    "spacing": [8.0, 8.0, 8.0],
    "backbone::channels": [4, 6],
    "backbone::convs": [1, 1],
    "num_workers": 0,
}


@pytest.mark.slow
def test_measures_training_and_inference(cohort, tmp_path):
    made = throughput.measure(cohort, tmp_path, subjects=2, rounds=2, overrides={**TINY, "weights": None})
    json.dumps(made)
    assert made["training"]["images_a_step"] == 8  # two subjects, four slices each
    assert made["training"]["ratio"]["median"] > 0
    assert made["inference"]["subjects"] == 2
    assert set(made["inference"]["parts_seconds_per_subject"]) == set(throughput.PARTS)
    assert len(list((tmp_path / "inference" / "maps").glob("*_map.nii.gz"))) == 2


def test_spread():
    assert throughput.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}

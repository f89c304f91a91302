from __future__ import annotations

import json

import pytest
import streaming
import tables


@pytest.mark.slow
def test_peak_memory_of_a_cohort(cohort, tmp_path):
    streaming.main(cohort, sizes=[2], output=tmp_path / "streaming.json")
    found = json.loads((tmp_path / "streaming.json").read_text())
    (run,) = found["runs"]
    assert run["subjects"] == 2
    assert 100 < run["peak_mb"] < 5000
    assert f"| 2 | {run['peak_mb']:.0f} |" in tables.streaming_section(found)

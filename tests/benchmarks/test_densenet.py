from __future__ import annotations

import pytest

from tests.bundle.runs import run


@pytest.mark.slow
def test_the_plain_densenet_is_trained_and_kept(cohort, tmp_path):
    tiny = {"roi_size": [40, 48, 20], "spacing": [5.0, 5.0, 8.0], "base_epochs": 1, "batch_size": 2, "slices_per_subject": 2}
    done = run("train", "../../benchmarks/densenet", cwd=tmp_path, dataset_dir=cohort, output_dir=tmp_path / "out", **tiny)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "base_cnn.pt").is_file()

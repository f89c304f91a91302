from __future__ import annotations

import shutil

from hrcam_monai.input_check import check_file
from hrcam_monai.input_check.check import read_input_check
from hrcam_monai.workflows.inputs import learn_inputs


def test_a_model_learns_afterwards_what_it_was_trained_on(tmp_path, cohort, bundle_root):
    for name in ("model.pt", "network.json"):
        shutil.copy(bundle_root / "models" / name, tmp_path / name)
    assert learn_inputs(tmp_path, cohort, bundle_root) == check_file(tmp_path / "model.pt")
    assert set(read_input_check(tmp_path / "model.pt")) == {"size", "layout", "intensities", "grain", "features"}

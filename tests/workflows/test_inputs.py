from __future__ import annotations

import json
import shutil

from hrcam_monai.input_check import check_file
from hrcam_monai.input_check.check import read_input_check
from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.weights import save_weights
from hrcam_monai.workflows.inputs import learn_inputs


def test_a_model_learns_afterwards_what_it_was_trained_on(tmp_path, cohort, bundle_root):
    for name in ("model.pt", "network.json"):
        shutil.copy(bundle_root / "models" / name, tmp_path / name)
    assert learn_inputs(tmp_path, cohort, bundle_root) == check_file(tmp_path / "model.pt")
    assert set(read_input_check(tmp_path / "model.pt")) == {"size", "layout", "intensities", "grain", "features"}


def test_a_model_of_stacked_slices_learns_from_what_its_overlays_train_with(tmp_path, cohort, bundle_root):
    variety = {"_target_": "RandScaleIntensityd", "keys": "image", "factors": 0.1}
    (tmp_path / "own.json").write_text(json.dumps({"neighbours": [-1, 1], "input_variety": [variety]}))
    net = HRCAMNet(StageCNN(in_channels=3, channels=(12, 24, 32, 48), convs=(1, 2, 2, 2)), 2, in_channels=3, reference=0)
    save_weights(net, tmp_path / "model.pt")
    learnt = learn_inputs(tmp_path, cohort, bundle_root, overlays=[str(tmp_path / "own.json")])
    assert set(read_input_check(tmp_path / "model.pt")) == {"size", "layout", "intensities", "grain", "features"}
    assert learnt == check_file(tmp_path / "model.pt")

"""The configs beside each other: what several of them say, they say in the same words."""

from __future__ import annotations

import json

import pytest

from tests.bundle.runs import CONFIGS

WORKFLOWS = ("train", "evaluate", "inference")
# what makes a workflow another; everything else is of the model, and one text
OF_A_WORKFLOW = {
    *("imports", "output_dir", "resume", "num_workers", "split", "manifest", "failures", "brain_key"),
    *("validate", "initialize", "run"),
    "classes",  # a training takes them from the manifest, the others from the weights
}


def test_what_is_of_the_model_is_one_text():
    """MONAI reads each workflow alone, from any folder, so that its files cannot take parts of each other."""
    configs = [json.loads((CONFIGS / f"{name}.json").read_text()) for name in WORKFLOWS]
    shared = {key for config in configs for key in config if sum(key in c for c in configs) > 1}
    differing = {key for key in shared if len({json.dumps(c[key]) for c in configs if key in c}) > 1}
    assert differing == OF_A_WORKFLOW
    assert {"backbone", "network_def", "inferer", "resample", "crop", "normalization", "preprocessing"} <= shared


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.json")), ids=lambda p: p.stem)
def test_weights_are_loaded_with_their_settings(path):
    """Training loads a base CNN; all others load a model, and none without what it was trained with."""
    if path.stem != "train":
        assert "hrcam_monai.weights.load_weights" not in path.read_text()

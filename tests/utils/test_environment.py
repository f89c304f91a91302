import json

from hrcam_monai.utils import environment as module
from hrcam_monai.utils.environment import environment


def test_machine_versions_seed_and_commit():
    found = environment(3)
    assert found["seed"] == 3
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["cpu"]
    assert {"python", "torch", "monai", "hrcam-monai"} <= set(found["versions"])
    assert json.loads(json.dumps(found)) == found


def test_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert environment(0)["commit"] == "unknown"

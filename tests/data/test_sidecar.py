from __future__ import annotations

import pytest

from hrcam_monai.data.sidecar import TOOL, read_sidecar


@pytest.mark.parametrize("name", ["s.nii.gz", "s.nii"])
def test_the_sidecar_lies_beside_the_scan(tmp_path, name):
    assert read_sidecar(tmp_path / name) == {}
    (tmp_path / "s.json").write_text(f'{{"tool": "{TOOL}", "subject": "s"}}')
    assert read_sidecar(tmp_path / name)["subject"] == "s"
    for text in ('{"tool": "dcm2niix"}', "[]", "{"):
        (tmp_path / "s.json").write_text(text)
        assert read_sidecar(str(tmp_path / name)) == {}

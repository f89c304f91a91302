from __future__ import annotations

import shutil

import dcm2niix_judge
import pytest
from dicom_cases import made


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed (apt-get install dcm2niix)")
@pytest.mark.parametrize("name", ["slices in any order of files", "RescaleSlope 1, then 200"])
def test_both_give_the_volume_that_was_written(tmp_path, name):
    case = next(c for c in made() if c.name == name)
    case.write(tmp_path / "in")
    row = dcm2niix_judge.judged(name, tmp_path / "in", tmp_path / "out", case)
    assert dcm2niix_judge.same(row["ours_to_right"])
    assert dcm2niix_judge.same(row["dcm2niix_to_right"])
    text = dcm2niix_judge.tables({"made": [row], "pydicom": []})
    assert f"| {name} | 36 x 40 x 12 | 36 x 40 x 12 | the same | the same |" in text

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hrcam_monai.report import write_report
from tests.conftest import save_head


def test_one_self_contained_page(tmp_path):
    (tmp_path / "maps").mkdir()
    rows = []
    for i in range(2):
        save_head(tmp_path / f"s{i}.nii.gz", (40, 44, 36))
        heat = np.zeros((40, 44, 36), np.float32)
        heat[25, 20, 18] = i  # the first map is empty: nothing above zero
        nib.save(nib.Nifti1Image(heat, np.eye(4)), tmp_path / "maps" / f"s{i}_map.nii.gz")
        rows.append({"subject": f"s{i}", "file": tmp_path / f"s{i}.nii.gz", "predicted": "abnormal", "probability_abnormal": 0.8})
    with (tmp_path / "predictions.csv").open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "failures.csv").write_text("subject,file,error\nbad,b.nii,is <empty>\n")
    page = write_report(tmp_path).read_text()
    assert page.count('onclick="show(') == 2
    assert "bad: is &lt;empty&gt;" in page
    assert "not a diagnosis" in page
    assert 'src="http' not in page
    assert sorted(p.name for p in (tmp_path / "overlays").iterdir()) == ["s0.png", "s1.png"]
    assert 'onclick="show(' not in write_report(tmp_path, max_viewers=0).read_text()
    assert not plt.get_fignums()  # memory does not grow with the cohort
    empty = np.asarray(Image.open(tmp_path / "overlays" / "s0.png").convert("L"), dtype=float)
    assert empty[60:200, 60:600].mean() > 10  # a map without anything shows the middle of the head, not a corner of the air


def test_folder_without_predictions(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions.csv: not found; run inference.json into this folder first"):
        write_report(tmp_path)

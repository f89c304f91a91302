from __future__ import annotations

import nibabel as nib
import numpy as np
import whole_heads
from common import fill
from nilearn.datasets import load_mni152_template


def test_what_no_scanner_makes_is_on_grids_of_its_own_and_differs():
    brain = load_mni152_template(resolution=4)
    made = whole_heads.made(nib.Nifti1Image(np.asarray(brain.dataobj), brain.affine))
    assert {"noise", "phantom", "T1_minus_1000", "T1_upside_down"} <= set(made)
    for name, (values, affine) in made.items():
        assert values.ndim == 3, name
        assert affine.shape == (4, 4), name
    np.testing.assert_allclose(made["T1_minus_1000"][0] + 1000, np.asarray(brain.dataobj), atol=1e-3)
    assert (made["T1_lower_half"][0][:, :, -1] == 0).all()


def test_the_tables_tell_answers_and_failures(tmp_path):
    content = {
        "answers": [
            {"subject": "a", "predicted": "normal", "probability_normal": "0.9", "input_check": "as trained", "head": "x"},
            {"subject": "b", "error": "/tmp/b.nii.gz: no brain is found in it."},
        ],
        "strips": [
            {"scan": "one", "tool": "deepbet", "dice": 0.95, "seconds": 5.0},
            {"scan": "two", "tool": "deepbet", "error": "no brain"},
            {"scan": "one", "tool": "hd-bet", "dice": 0.96, "seconds": 20.0},
        ],
    }
    text = whole_heads.tables(content)
    assert "| a | x | normal, 0.90 | as trained |" in text
    assert "| b |  |  | left out: no brain is found in it. |" in text
    assert "| one | 0.950 | 5.0 | 0.960 | 20.0 |" in text
    assert "| two | no brain |  |  |  |" in text
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t -->\nold\n<!-- end of t -->\nafter\n")
    fill(page, "t", text)
    assert page.read_text() == f"before\n<!-- t -->\n{text}\n<!-- end of t -->\nafter\n"

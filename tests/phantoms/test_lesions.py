from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.phantoms.anatomy import load_anatomy, warp
from hrcam_monai.phantoms.lesions import GRADES, Look, add_lesions, lesion_profile


@pytest.fixture(scope="module")
def brain():
    return warp(load_anatomy(), np.random.default_rng(0), 3.0)


@pytest.mark.parametrize("grade", GRADES)
def test_lesions_are_what_their_record_says(brain, grade):
    image, affine = brain
    changed, mask, lesions = add_lesions(image, affine, np.random.default_rng(1), grade, 3, 0.025)
    assert len(lesions) == 3
    assert (changed[mask > 0] > 0).all()
    assert ((changed > 0) == (image > 0)).all()
    assert sum(lesion.volume_mm3 for lesion in lesions) == pytest.approx(mask.sum() * 27.0, abs=1)
    for lesion in lesions:
        index = np.linalg.inv(affine) @ [*lesion.centre_world_mm, 1]
        near = mask[tuple(slice(int(i) - 2, int(i) + 4) for i in index[:3])]
        assert near.any()
        assert lesion.sign in ("hyper", "hypo")


def test_grades_differ_in_contrast_and_size(brain):
    image, affine = brain
    found = {g: add_lesions(image, affine, np.random.default_rng(2), g, 4, 0.025)[2] for g in GRADES}
    cnr = [np.mean([x.cnr for x in found[g]]) for g in ("plain", "moderate", "faint")]
    size = [np.mean([x.volume_mm3 for x in found[g]]) for g in ("plain", "moderate", "faint")]
    assert cnr == sorted(cnr, reverse=True)
    assert size == sorted(size, reverse=True)


def test_histogram_of_the_brain_is_untouched(brain):
    image, affine = brain
    changed = add_lesions(image, affine, np.random.default_rng(3), "plain", 4, 0.025)[0]
    assert np.array_equal(np.sort(changed, axis=None), np.sort(image, axis=None))
    assert not np.array_equal(changed, image)


def test_profile_is_soft_and_about_as_large_as_asked():
    soft, change = lesion_profile(np.random.default_rng(0), (40, 40, 40), np.array([20.0, 20.0, 20.0]), 6.0)
    assert np.array_equal(soft, change)
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert ((soft > 0.1) & (soft < 0.9)).any()
    assert 0.3 < (soft > 0.5).sum() / (4 / 3 * np.pi * 6**3) < 3


def test_a_rim_changes_more_than_the_middle_and_texture_varies():
    at = (np.random.default_rng(0), (40, 40, 40), np.array([20.0, 20.0, 20.0]), 9.0)
    _, change = lesion_profile(*at, Look(roughness=0.01, stretch=(1.0, 1.01), core=0.2))
    assert change[20, 20, 20] < 0.3 < 0.8 < change[20, 20, 20 + 7]
    soft, mottled = lesion_profile(np.random.default_rng(0), *at[1:], Look(texture=0.3))
    inside = soft > 0.95
    assert 0.2 < (mottled[inside] / soft[inside]).std() < 0.4


def test_varied_lesions_are_bright_and_dark_and_may_leave_the_range_of_tissue(brain):
    image, affine = brain
    made = [add_lesions(image, affine, np.random.default_rng(i), "plain", 2, 0.025, varied=True) for i in range(12)]
    signs = [lesion.sign for _, _, lesions in made for lesion in lesions]
    assert len(signs) == 24
    assert 6 <= signs.count("hyper") <= 18
    matched = [np.array_equal(np.sort(changed, axis=None), np.sort(image, axis=None)) for changed, _, _ in made]
    assert 3 <= sum(matched) <= 9
    assert max(changed.max() for changed, _, _ in made) > image.max()
    for changed, mask, _ in made:
        assert ((changed > 0) == (image > 0)).all()
        assert (mask[image == 0] == 0).all()

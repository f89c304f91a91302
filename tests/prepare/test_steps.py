from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.brain import NoBrainError
from hrcam_monai.data.itk_images import from_array, itk_types, to_array
from hrcam_monai.prepare import registration, steps
from hrcam_monai.prepare.steps import Steps, process

AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])
PLAIN = Steps(n4=False)


def brain(air=0.0):
    x, y, z = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in (24, 28, 20)], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.8
    values = np.random.default_rng(0).normal(100, 10, inside.shape)
    return np.where(inside, values, air).astype(np.float32), inside.astype(np.uint8)


def head():
    """A brain in a skull: noise instead of air."""
    values, inside = brain()
    return np.where(inside, values, np.abs(np.random.default_rng(1).normal(3, 1, inside.shape))).astype(np.float32), inside


def test_without_steps_values_and_grid_stay():
    values, _ = brain()
    made = process(from_array(values, AFFINE), PLAIN)
    array, affine = to_array(made.image)
    np.testing.assert_array_equal(array, values)
    np.testing.assert_allclose(affine, AFFINE)
    assert (made.similarity, made.skull, dict(made.labels)) == (None, False, {})


def test_air_becomes_zero_whatever_it_was():
    values, inside = brain(air=-4.75)
    array, _ = to_array(process(from_array(values, AFFINE), PLAIN).image)
    np.testing.assert_array_equal(array, np.where(inside, values, 0))


def test_a_brain_mask_is_applied_in_world_space():
    values, inside = head()
    turned = from_array(
        np.ascontiguousarray(inside[::-1]), AFFINE @ np.array([[-1, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    )
    array, _ = to_array(process(from_array(values, AFFINE), PLAIN, brain=turned).image)
    np.testing.assert_array_equal(array, np.where(inside, values, 0))


def test_a_skull_is_cut_away(monkeypatch):
    values, inside = head()
    tall = np.diag([-4.0, -4.0, 5.0, 1.0])  # 80 mm and more: no slab
    asked, tools = [], []

    def found(image, affine, tool):
        asked.append(affine)
        tools.append(tool)
        return inside > 0

    monkeypatch.setattr(steps, "brain_mask", found)
    made = process(from_array(values, tall), PLAIN)
    np.testing.assert_array_equal(to_array(made.image)[0], np.where(inside, values, 0))
    np.testing.assert_array_equal(to_array(made.brain)[0], inside)
    np.testing.assert_allclose(asked, [tall])
    assert not made.skull
    assert process(from_array(brain()[0], tall), PLAIN).brain is None, "stripped already"
    assert process(from_array(brain()[0], tall), Steps(n4=False, strip="always", strip_tool="hd-bet")).brain is not None
    assert tools == ["deepbet", "hd-bet"]
    assert process(from_array(values, tall), PLAIN, brain=from_array(inside, tall)).brain is None, "given"
    assert len(asked) == 2


def test_a_skull_that_cannot_be_cut_away_or_is_to_stay(monkeypatch):
    with pytest.raises(ValueError, match="seems to hold a skull") as error:
        process(from_array(head()[0], np.diag([-3.0, -3.0, 2.0, 1.0])), PLAIN)
    assert str(error.value) == (
        "seems to hold a skull, and is too thin to be stripped; give --brain-masks, or --strip never to go on."
    )

    def lost(image, affine, tool):
        raise NoBrainError("no brain is found in it; check that it shows a whole head.")

    monkeypatch.setattr(steps, "brain_mask", lost)
    with pytest.raises(ValueError, match="no brain") as error:
        process(from_array(head()[0], np.diag([-4.0, -4.0, 5.0, 1.0])), PLAIN)
    assert str(error.value) == (
        "no brain is found in it; check that it shows a whole head. Give --brain-masks, or --strip never to go on with its skull."
    )
    made = process(from_array(head()[0], AFFINE), Steps(n4=False, strip="never"))
    assert made.skull
    np.testing.assert_array_equal(to_array(made.image)[0], head()[0])


def test_masks_that_do_not_belong():
    values, inside = head()
    image = from_array(values, AFFINE)
    away = AFFINE.copy()
    away[:3, 3] = 500
    with pytest.raises(
        ValueError, match=r"its brain mask does not lie on it \(0% of the mask is left .* make the mask from this"
    ):
        process(image, PLAIN, brain=from_array(inside, away))
    with pytest.raises(ValueError, match="its brain mask is empty; make it again"):
        process(image, PLAIN, brain=from_array(inside * 0, AFFINE))
    with pytest.raises(ValueError, match="its lesion mask does not lie on it"):
        process(image, PLAIN, brain=from_array(inside, AFFINE), labels={"mask": from_array(inside, away)})


def test_regions_must_keep_all_their_labels():
    values, inside = brain()
    regions = np.where(inside, 1, 0).astype(np.uint8)
    regions[0, 0, 0] = 3
    shifted = AFFINE.copy()
    shifted[0, 3] -= 3
    with pytest.raises(ValueError, match=r"its regions do not lie on it \(label 3 is lost on the image's grid\); draw them on"):
        process(from_array(values, shifted), PLAIN, labels={"regions": from_array(regions, AFFINE)})


def test_an_image_that_shows_nothing():
    with pytest.raises(ValueError, match="^every voxel is 7; it shows nothing: check how it was made"):
        process(from_array(np.full((8, 8, 8), 7, np.float32), AFFINE), PLAIN)


def test_n4_stays_inside_the_brain():
    values, inside = brain()
    array, _ = to_array(process(from_array(values, AFFINE), Steps(iterations=(2,))).image)
    assert (array[inside == 0] == 0).all()
    assert (array[inside == 1] > 0).all()


def test_a_registration_that_fits_badly_is_an_error(monkeypatch):
    monkeypatch.setattr("hrcam_monai.prepare.steps.register", lambda *a, **k: itk_types()[0].Euler3DTransform.D.New())
    with pytest.raises(ValueError, match=r"registration failed \(similarity 0.0\d\d, at least 0.035 expected\); look whether"):
        process(from_array(brain()[0], np.diag([-4.0, -4.0, 5.0, 1.0])), Steps(n4=False, register="rigid"))


def test_image_and_lesions_go_to_the_template_together(monkeypatch):
    """The registration is given here; what counts is that one transform moves both, and that the mask stays whole numbers."""
    shift = itk_types()[0].Euler3DTransform.D.New(Translation=[10.0, -6.0, 8.0])
    monkeypatch.setattr("hrcam_monai.prepare.steps.register", lambda *a, **k: shift)
    template = registration.template()
    values, affine = to_array(template.image)
    lesions = np.zeros(values.shape, np.uint8)
    lesions[30:40, 50:60, 40:50] = 4
    values = np.where(lesions, 0.4, values).astype(np.float32)
    moved = affine.copy()
    moved[:3, 3] += [-10, 6, 8]  # RAS+ of the same shift
    steps, mask = Steps(n4=False, register="rigid", spacing=2.0), from_array(lesions, moved)
    made = process(from_array(values, moved), steps, labels={"mask": mask})
    array, grid = to_array(made.image)
    np.testing.assert_allclose(grid, affine, atol=1e-6)
    np.testing.assert_allclose(array, values, atol=1e-3)
    np.testing.assert_array_equal(to_array(made.labels["mask"])[0], lesions)
    assert made.similarity > 0.5
    np.testing.assert_allclose(made.matrix[:3, 3], [-10, 6, 8])

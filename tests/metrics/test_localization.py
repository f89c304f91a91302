import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, MeanIoU
from sklearn.metrics import average_precision_score

from hrcam_monai.metrics import (
    EmptyMaskError,
    best_dice,
    best_iou,
    energy_inside,
    fixed_dice,
    localization_scores,
    peak_distance,
    pixel_average_precision,
    pointing_game,
)

MEASURES = [best_dice, best_iou, energy_inside, fixed_dice, peak_distance, pixel_average_precision, pointing_game]


@pytest.fixture(params=[(24, 20), (12, 10, 8)])
def pair(request):
    rng = np.random.default_rng(0)
    heat = rng.normal(size=request.param)
    mask = np.zeros(request.param, bool)
    mask[tuple(slice(3, 7) for _ in request.param)] = True
    return heat + mask, mask


def test_average_precision_is_scikit_learns(pair):
    heat, mask = pair
    for values in (heat, heat.round(1), heat.round(), np.clip(heat, 0, None)):  # with ties, too
        expected = average_precision_score(mask.ravel(), values.ravel())
        assert pixel_average_precision(values, mask) == pytest.approx(expected, abs=1e-12)


def test_dice_and_iou_are_monais(pair):
    heat, mask = pair
    truth = torch.tensor(mask)[None, None].float()
    found = [(torch.tensor(heat)[None, None] >= t).float() for t in np.unique(heat)]
    dice, iou = DiceMetric(), MeanIoU()
    assert best_dice(heat, mask) == pytest.approx(max(float(dice(f, truth)) for f in found), abs=1e-6)
    assert best_iou(heat, mask) == pytest.approx(max(float(iou(f, truth)) for f in found), abs=1e-6)
    half = (torch.tensor(heat)[None, None] >= 0.5 * heat.max()).float()
    assert fixed_dice(heat, mask) == pytest.approx(float(dice(half, truth)), abs=1e-6)


def test_pointing_game_and_energy_are_quantus():
    quantus = pytest.importorskip("quantus", reason="quantus is not installed")
    rng = np.random.default_rng(1)
    mask = np.zeros((8, 1, 16, 16), bool)
    mask[:, :, 4:9, 5:12] = True
    heat = rng.uniform(size=mask.shape) + 0.3 * mask
    options = {"disable_warnings": True, "abs": False, "normalise": False}
    call = {"model": None, "x_batch": heat, "y_batch": np.zeros(8, int), "a_batch": heat, "s_batch": mask}
    theirs = quantus.PointingGame(**options)(**call)
    assert [pointing_game(h[0], m[0]) for h, m in zip(heat, mask, strict=True)] == [bool(t) for t in theirs]
    theirs = quantus.RelevanceMassAccuracy(**options)(**call)
    assert [energy_inside(h[0], m[0]) for h, m in zip(heat, mask, strict=True)] == pytest.approx(theirs)


def test_a_perfect_map_scores_one(pair):
    _, mask = pair
    scores = localization_scores(mask.astype(float), mask)
    assert scores.pop("peak_distance_mm") == 0
    assert scores == dict.fromkeys(scores, 1.0)


def test_full_mask(pair):
    heat, mask = pair
    full = np.ones_like(mask)
    assert pixel_average_precision(heat, full) == best_dice(heat, full) == energy_inside(heat, full) == 1
    assert pointing_game(heat, full)


def test_a_constant_map_is_chance_and_points_nowhere(pair):
    _, mask = pair
    flat = np.ones(mask.shape)
    share = mask.mean()
    assert pixel_average_precision(flat, mask) == pytest.approx(share)
    assert best_dice(flat, mask) == pytest.approx(2 * share / (1 + share))
    assert energy_inside(flat, mask) == pytest.approx(share)
    assert np.isnan(peak_distance(flat, mask))
    assert not pointing_game(flat, mask, tolerance_mm=1e9)


def test_a_map_without_evidence_has_no_energy_and_no_label():
    heat, mask = -np.ones((4, 4)), np.eye(4)
    assert energy_inside(heat, mask) == fixed_dice(heat, mask) == 0


def test_ties_are_taken_together():
    heat, mask = [1.0, 1.0, 0.0, 0.0], [1, 0, 0, 0]
    assert pixel_average_precision(heat, mask) == 0.5
    assert best_dice(heat, mask) == pytest.approx(2 / 3)


def test_distances_heed_anisotropic_spacing():
    mask, heat = np.zeros((9, 9, 9)), np.zeros((9, 9, 9))
    mask[4, 4, 4] = heat[4, 4, 6] = 1
    assert peak_distance(heat, mask, spacing=(1, 1, 2.5)) == 5
    assert peak_distance(heat, mask) == 2
    assert not pointing_game(heat, mask, spacing=(1, 1, 2.5), tolerance_mm=4.9)
    assert pointing_game(heat, mask, spacing=(1, 1, 2.5), tolerance_mm=5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_maps(dtype):
    heat = torch.tensor([[0.5, 2.0], [0.25, 0.0]], dtype=dtype)
    assert energy_inside(heat.float(), torch.tensor([[0, 1], [0, 0]])) == pytest.approx(2 / 2.75)


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_input(measure):
    with pytest.raises(EmptyMaskError, match="the mask is empty: localisation is not defined without a lesion"):
        measure(np.ones((3, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"map is \(3, 3\), mask is \(3, 2\); they must be on one grid"):
        measure(np.ones((3, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="the map has values that are not finite"):
        measure(np.full((3, 3), np.nan), np.ones((3, 3)))

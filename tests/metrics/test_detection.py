import numpy as np
import pytest
import torch
from monai.transforms import ProbNMS

from hrcam_monai.metrics import LesionDetection
from hrcam_monai.metrics.detection import MAX_PEAKS, peaks


def spots(shape, at):
    image = torch.zeros(1, 1, *shape)
    for place, value in at.items():
        image[(0, 0, *place)] = value
    return image


@pytest.mark.parametrize("places", [[(5, 5), (20, 20)], [(5, 5, 5), (20, 20, 5)]])
def test_peaks_in_falling_order(places):
    shape = (28, 28, 10)[: len(places[0])]
    heat = spots(shape, {places[0]: 1.0, places[1]: 2.0, (0,) * len(shape): -3.0})
    values, found = peaks(heat[0, 0], (1, 1, 1))
    assert values.tolist() == [2, 1]
    assert found.tolist() == [list(places[1]), list(places[0])]


@pytest.mark.parametrize("shape", [(32, 30), (12, 14, 10)])
def test_peaks_are_those_of_monais_suppression(shape):
    """On a map whose peaks lie apart; on noise a greedy search may take a shoulder where ours takes the next summit."""
    heat = spots(shape, {(3,) * len(shape): 2.0, tuple(n - 3 for n in shape): 1.0})[0, 0]
    theirs = ProbNMS(spatial_dims=len(shape), prob_threshold=0.05, box_size=5)(heat.clone())
    values, found = peaks(heat, (1,) * len(shape), separation_mm=5)
    assert values.tolist() == [t[0] for t in theirs]
    assert found.tolist() == [t[1:] for t in theirs]


def test_a_plateau_is_one_peak():
    heat = torch.zeros(20, 20)
    heat[5:8, 5:8] = 1
    assert peaks(heat, (1, 1), separation_mm=10)[1].tolist() == [[5, 5]]


def test_neighbours_count_once_by_distance_in_mm():
    heat = spots((30, 30), {(10, 10): 2.0, (10, 14): 1.0})[0, 0]
    assert len(peaks(heat, (1, 1), separation_mm=10)[0]) == 1
    assert len(peaks(heat, (1, 3), separation_mm=10)[0]) == 2


def test_at_most_so_many_peaks_and_none_without_evidence():
    assert len(peaks(torch.rand(64, 64), (1, 1), separation_mm=2)[0]) == MAX_PEAKS
    values, places = peaks(-torch.rand(8, 8), (1, 1))
    assert values.shape == (0,)
    assert places.shape == (0, 2)


def test_froc_of_a_known_case():
    """Two subjects, three lesions: found at 3 and 1, one missed; a false positive at 2."""
    metric = LesionDetection(spacing=(1, 1), points=(0, 0.5))
    mask = spots((30, 30), {(5, 5): 1, (25, 25): 1})
    metric(spots((30, 30), {(5, 5): 3.0, (15, 15): 2.0}), mask)
    metric(spots((30, 30), {(5, 25): 1.0}), spots((30, 30), {(5, 25): 1}))
    froc = metric.aggregate()
    assert froc.lesions == 3
    assert froc.sensitivity[froc.false_positives == 0].max() == pytest.approx(1 / 3)
    assert froc.sensitivity[froc.false_positives == 0.5].max() == pytest.approx(2 / 3)
    assert froc.score == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_healthy_subjects_add_false_positives_only():
    metric = LesionDetection(spacing=(1, 1), points=(0.5,))
    metric(spots((20, 20), {(5, 5): 1.0}), spots((20, 20), {(5, 5): 1}))
    assert metric.aggregate().score == 1
    metric(spots((20, 20), {(9, 9): 2.0}), torch.zeros(1, 1, 20, 20))
    assert metric.aggregate().false_positives.max() == 0.5


def test_batch_equals_one_by_one():
    torch.manual_seed(0)
    maps, masks = torch.rand(4, 1, 24, 24), (torch.rand(4, 1, 24, 24) > 0.97).float()
    together, apart = LesionDetection(spacing=(1, 1)), LesionDetection(spacing=(1, 1))
    together(maps, masks)
    for m, t in zip(maps, masks, strict=True):
        apart(m[None], t[None])
    assert together.aggregate().score == apart.aggregate().score


def test_no_lesion_at_all():
    metric = LesionDetection(spacing=(1, 1))
    metric(torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="no lesion among the masks: detection is not defined"):
        metric.aggregate()
    metric.reset()
    assert not metric.hit
    assert np.size(metric.wrong) == 0

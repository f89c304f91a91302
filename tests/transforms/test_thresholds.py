from __future__ import annotations

import pytest
import torch

from hrcam_monai.transforms.thresholds import evidence_range, threshold_between


@pytest.mark.parametrize("shift", [-100.0, 0.0, 100.0])
def test_what_stands_out_does_not_hang_on_the_level_of_the_whole(shift):
    heat = torch.arange(101.0) / 100
    of = evidence_range(heat + shift, torch.ones(101, dtype=torch.bool), 0.8)
    assert (of.middle - shift, of.threshold - shift, of.top - shift) == pytest.approx((0.5, 0.9, 1.0), abs=1e-4)
    assert not of.empty


def test_air_does_not_count_and_a_flat_map_is_empty():
    heat, head = torch.tensor([5.0, 1.0, 1.0, 1.0]), torch.tensor([False, True, True, True])
    assert evidence_range(heat, head).empty
    assert evidence_range(heat, torch.zeros(4, dtype=torch.bool)).top == 5.0


@pytest.mark.parametrize("top", [-3.0, 0.5, 30.0])
def test_on_the_scale_of_probability_a_voxel_counts_from_a_share_of_the_highest_on(top):
    of = evidence_range(torch.tensor([-9.0, -9.0, top]), torch.ones(3, dtype=torch.bool), 0.6, "probability")
    highest, lowest = torch.tensor([top, of.threshold], dtype=torch.float64).sigmoid()
    assert float(lowest / highest) == pytest.approx(0.6)
    assert of.middle + of.share * (of.top - of.middle) == pytest.approx(of.threshold)


def test_a_threshold_below_the_median_shows_all_that_is_above_it():
    of = evidence_range(torch.tensor([5.0, 5.0, 6.0]), torch.ones(3, dtype=torch.bool), 0.5, "probability")
    assert (of.threshold < of.middle, of.share) == (True, 0.0)


@pytest.mark.parametrize(
    ("share", "scale", "told"), [(0.5, "odds", "choose one of evidence, prob"), (1.0, "evidence", "is 1.0;")]
)
def test_another_scale_or_share_is_refused(share, scale, told):
    with pytest.raises(ValueError, match=told):
        threshold_between(0.0, 1.0, share, scale)

from __future__ import annotations

import pytest
import torch

from hrcam_monai.transforms.thresholds import evidence_range


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

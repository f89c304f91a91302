from __future__ import annotations

import pytest
import torch

from hrcam_monai.input_check import Familiar


def test_held_out_vectors_pass_the_limit_as_seldom_as_asked():
    torch.manual_seed(0)
    mixing = torch.randn(20, 20)
    known, held_out, new = (torch.randn(n, 20) @ mixing for n in (300, 200, 1000))
    own = Familiar.learn(known, held_out, rate=0.05, allowance=1.0)
    assert (own.distance(held_out) > own.limit).float().mean() == pytest.approx(0.05, abs=0.01)
    assert (own.distance(new) > own.limit).float().mean() == pytest.approx(0.05, abs=0.04)
    assert own.excess(known.mean(dim=0) + 20 * mixing[0]) > 1


def test_a_direction_in_which_nothing_varies_is_no_fault():
    known = torch.cat([torch.randn(50, 2), torch.ones(50, 1)], dim=1)
    own = Familiar.learn(known, known, allowance=1.0)
    assert own.excess(known[0]) <= 1.01
    assert own.excess(torch.tensor([0.0, 0.0, 5.0])) > 1


def test_too_few_images():
    with pytest.raises(ValueError, match="1 known images and 0 held out; two and one are needed at least"):
        Familiar.learn(torch.ones(1, 3), torch.ones(0, 3))

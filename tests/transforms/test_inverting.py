from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, ResizeWithPadOrCropd, Spacingd

from hrcam_monai.transforms.inverting import InvertInSinglePrecisiond

OBLIQUE = np.array([[0.9, -0.3, 0.1, 5], [0.3, 1.1, 0.2, -9], [-0.1, 0.1, 2.9, 3], [0, 0, 0, 1.0]])


EVEN = np.diag([1.37, 1.37, 1.37, 1])  # no voxel lies halfway between two of the other grid: nearest is one of them


def prepared(affine=OBLIQUE):
    """A scan as the network is given it, a map on that grid, and what brought it there."""
    scan = MetaTensor(torch.rand(1, 40, 44, 12), affine=torch.as_tensor(affine))
    steps = Compose(
        [Orientationd("image", "RAS", labels=None), Spacingd("image", 2.0), ResizeWithPadOrCropd("image", (24, 24, 24))]
    )
    item = steps({"image": scan})
    return item | {"map": MetaTensor(torch.rand(2, 24, 24, 24), meta=dict(item["image"].meta))}, steps


@pytest.mark.parametrize("nearest", [False, True])
def test_a_map_comes_back_as_in_double_precision(nearest):
    item, steps = prepared(EVEN if nearest else OBLIQUE)
    options = {"orig_keys": "image", "nearest_interp": nearest}
    double, single = Invertd("map", steps, **options)(item)["map"], InvertInSinglePrecisiond("map", steps, **options)(item)["map"]
    assert single.shape == double.shape == (2, 40, 44, 12)
    assert torch.equal(single.affine, double.affine)
    torch.testing.assert_close(single.as_tensor(), double.as_tensor().float(), atol=1e-4, rtol=0)


def test_it_resamples_in_single_precision(monkeypatch):
    item, steps = prepared()
    seen = []
    grid = torch.nn.functional.affine_grid
    monkeypatch.setattr(
        torch.nn.functional, "affine_grid", lambda theta, *a, **k: seen.append(theta.dtype) or grid(theta, *a, **k)
    )
    InvertInSinglePrecisiond("map", steps, orig_keys="image")(item)
    assert seen == [torch.float32]


def test_the_scan_is_left_as_it_was():
    item, steps = prepared()
    before = [dict(o) for o in item["image"].applied_operations]
    out = InvertInSinglePrecisiond("map", steps, orig_keys="image")(item)
    assert out["image"] is item["image"]
    assert [dict(o) for o in item["image"].applied_operations] == before


def test_a_scan_may_be_brought_back_itself():
    item, steps = prepared()
    out = InvertInSinglePrecisiond("image", steps)(item)
    assert out["image"].shape == (1, 40, 44, 12)

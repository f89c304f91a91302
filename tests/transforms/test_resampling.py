from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from hrcam_monai.transforms.resampling import FitInPlaned


@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (7, 7)])
def test_slices_fit_and_come_back(shape):
    keys = ["image", "mask"]
    affine = torch.diag(torch.tensor([1.0, -1.0, 3.0, 1.0], dtype=torch.float64))
    values = torch.zeros(1, *shape, 2)
    values[:, : shape[0] // 2] = 1
    item = {k: MetaTensor(values.clone(), affine=affine) for k in keys}
    steps = Compose([FitInPlaned(keys, 20), FitInPlaned("other", 20, allow_missing_keys=True)])
    fitted = steps(item)
    assert max(fitted["image"].shape[1:3]) == 20
    assert fitted["image"].shape[3] == 2
    assert round(20 * min(shape) / max(shape)) == min(fitted["image"].shape[1:3])
    back = steps.inverse(fitted)
    for key in keys:
        assert back[key].shape == (1, *shape, 2)
        np.testing.assert_allclose(back[key].affine, affine, atol=1e-6)
        assert (back[key] - values).abs().mean() < 0.1

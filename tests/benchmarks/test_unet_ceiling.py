from __future__ import annotations

import torch
import unet_ceiling
from torch import nn

from hrcam_monai.inferers import HRCAMInferer


def test_the_ceiling_is_read_as_hrcam_is():
    torch.manual_seed(0)
    network, image = nn.Conv2d(1, 1, 3, padding=1), torch.rand(1, 12, 14, 6)
    own = unet_ceiling.volume_map(network, image, HRCAMInferer(slice_axis=2))
    assert own.shape == (12, 14, 6)
    torch.testing.assert_close(own[..., 3], network(image[..., 3][None])[0, 0].sigmoid())
    flipped = unet_ceiling.volume_map(network, image.flip(1), HRCAMInferer(slice_axis=2)).flip(0)
    read = unet_ceiling.volume_map(network, image, HRCAMInferer(slice_axis=2, flip_axes=[0]))
    torch.testing.assert_close(read, (own + flipped) / 2)


def test_summary_by_grade():
    rows = [{"grade": g, **dict.fromkeys(unet_ceiling.MEASURES, v)} for g, v in (("plain", 0.6), ("plain", 0.4), ("faint", 0.2))]
    rows += [{"grade": "moderate", **dict.fromkeys(unet_ceiling.MEASURES, 0.0)}]
    found = unet_ceiling.summary(rows)
    assert found["plain"]["pixel_ap"]["mean"] == 0.5
    assert found["all"]["energy"]["mean"] == 0.3

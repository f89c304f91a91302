from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hrcam_monai.losses import MapLoss


def test_cross_entropy_plus_mean_absolute_map():
    pred = {"logits": torch.randn(3, 2), "maps": torch.randn(3, 2, 4, 4)}
    label = torch.tensor([0, 1, 1])
    plain = F.cross_entropy(pred["logits"], label)
    torch.testing.assert_close(MapLoss()(pred, label), plain)
    torch.testing.assert_close(MapLoss(l1=0.5)(pred, label), plain + 0.5 * pred["maps"].abs().mean())
    torch.testing.assert_close(MapLoss(l1=0.5)({"logits": pred["logits"]}, label), plain)


def test_consistency_of_mixtures_moves_their_maps_only():
    label = torch.tensor([0, 1, 1])
    mixed, expected = torch.randn(3, 2, 4, 4, requires_grad=True), torch.randn(3, 2, 4, 4)
    pred = {"logits": torch.randn(3, 2), "maps": torch.randn(3, 2, 4, 4), "mixed": mixed, "expected": expected}
    plain = F.cross_entropy(pred["logits"], label)
    torch.testing.assert_close(MapLoss(consistency=2.0)(pred, label), plain + 2 * ((mixed - expected) ** 2).mean())
    torch.testing.assert_close(MapLoss()(pred, label), plain)
    MapLoss(consistency=2.0)(pred, label).backward()
    assert mixed.grad is not None


def test_gradients():
    logits = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0, 1, 1])
    assert torch.autograd.gradcheck(lambda z, m: MapLoss(l1=0.1)({"logits": z, "maps": m}, label), (logits, maps))


@pytest.mark.parametrize("reference", [0, None, "mean"])
def test_seeds_are_a_cross_entropy_of_every_pixel(reference):
    maps, label = torch.randn(2, 3, 4, 4), torch.tensor([1, 2])
    seeds = torch.zeros(2, 1, 4, 4)
    seeds[:, :, 1, 2] = 1
    if reference == 0:
        maps[:, 0] = 0
    pred = {"logits": torch.randn(2, 3), "maps": maps}
    full = maps if reference == 0 else torch.cat([torch.zeros(2, 1, 4, 4), maps], 1)
    wanted = torch.where(seeds[:, 0] > 0, label.view(-1, 1, 1) + (reference != 0), 0)
    loss = MapLoss(seeds=2.0, reference=reference)
    plain = F.cross_entropy(pred["logits"], label)
    torch.testing.assert_close(loss(pred, {"label": label, "seeds": seeds}), plain + 2 * F.cross_entropy(full, wanted))
    torch.testing.assert_close(loss(pred, label), plain)  # MONAI Label's training brings no seeds

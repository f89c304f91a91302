from __future__ import annotations

import numpy as np
import people_ceiling
import pytest
import torch
from masked_lesions import RandMaskedLesionsd
from monai.data import MetaTensor

from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.transforms.lesions import BrainDepthd


def head():
    """[1, 40, 40, 40] of 2 mm: a ball of two tissues, z-scored as a network is given it."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, 40)] * 3, indexing="ij"))
    inside = np.linalg.norm(grid, axis=0) < 1
    tissue = np.where(np.linalg.norm(grid, axis=0) < 0.7, 1.0, 0.6) + np.random.default_rng(0).normal(0, 0.02, inside.shape)
    return MetaTensor(torch.from_numpy((tissue * inside)[None].astype(np.float32)))


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_lesions_hand_on_where_they_are(prob):
    data = {"image": head(), "label": 0, "slice_weights": torch.ones(40)}
    drawn = RandMaskedLesionsd("image", prob=prob).set_random_state(1)(BrainDepthd()(data))
    assert drawn["seeds"].shape == (1, 40, 40, 40)
    assert bool(drawn["seeds"].any()) == bool(drawn["label"]) == bool(prob)
    if prob:
        change = (drawn["image"] - head()).abs()[0]
        mask = drawn["seeds"][0] > 0
        assert change[mask].mean() > 5 * change[~mask].mean()


def test_the_class_map_learns_masks():
    torch.manual_seed(0)
    peer = people_ceiling.MaskedNetwork(HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, reference=0))
    image = torch.rand(2, 1, 16, 16)
    mask = (image > 0.5).float()
    assert torch.equal(peer.maps(image, 1)[peer.method], peer(image).sigmoid())
    optimizer = torch.optim.Adam(peer.parameters(), 0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = peer.pixel_loss(image, torch.tensor([1, 1]), mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_summary_is_by_grade_and_kind():
    measures = dict.fromkeys(people_ceiling.MEASURES, 0.5)
    rows = [
        {"label": 1, "grade": "plain", "kind": "bright", "height": 0.9, **measures, "pixel_ap": 0.8},
        {"label": 1, "grade": "plain", "kind": "dark", "height": 0.1, **measures},
        {"label": 0, "grade": "none", "kind": "none", "height": 0.4},
    ]
    found = people_ceiling.summary([*rows, {**rows[0], "grade": "faint", "kind": "mixed"}, {**rows[0], "grade": "moderate"}])
    assert found["bright"]["subjects"] == 2
    assert found["plain"] == {"subjects": 2, "auc": 0.5, **measures, "pixel_ap": 0.65}
    assert found["dark"]["auc"] == 0.0

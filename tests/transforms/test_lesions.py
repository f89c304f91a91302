from __future__ import annotations

import numpy as np
import pytest
import torch

from hrcam_monai.phantoms.anatomy import load_anatomy, warp
from hrcam_monai.transforms import BrainDepthd, RandLesionsd


@pytest.fixture(scope="module")
def head():
    """A healthy head as the network is given it, and what is kept of it between epochs."""
    image = warp(load_anatomy(), np.random.default_rng(0), 4.0)[0][None]
    brain = image != 0
    image = np.where(brain, (image - image[brain].mean()) / image[brain].std(), 0).astype(np.float32)
    weights = torch.from_numpy((image[0] != 0).sum((0, 1)).astype(np.float32))
    item = {"image": torch.from_numpy(image), "label": 0, "subject": "a", "slice_weights": weights}
    return BrainDepthd(spacing=4.0)(item)


def drawn(head, seed=0, **options):
    return RandLesionsd(spacing=4.0, **{"prob": 1.0, **options}).set_random_state(seed)(head)


def test_lesions_change_the_slices_that_are_drawn_and_not_the_histogram(head):
    item = drawn(head)
    before, after = head["image"], item["image"]
    assert item["label"] == 1
    assert "depth" not in item
    assert ((before != 0) == (after != 0)).all()
    assert torch.allclose(before.flatten().sort()[0], after.flatten().sort()[0], atol=1e-4)
    changed = (after - before).abs().amax((0, 1, 2))
    shown = item["slice_weights"] > 0
    assert shown.any()
    assert not shown.all()
    assert changed[shown].min() > changed[~shown].median()
    assert torch.equal(item["slice_weights"][shown], head["slice_weights"][shown])


def test_every_draw_is_another_and_a_seed_repeats_it(head):
    first, again, other = drawn(head), drawn(head), drawn(head, seed=1)
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])


def test_prob_is_the_share_of_abnormal_heads(head):
    transform = RandLesionsd(spacing=4.0).set_random_state(0)
    labels = [transform(head)["label"] for _ in range(40)]
    assert 10 < sum(labels) < 30
    healthy = drawn(head, prob=0.0)
    assert healthy["label"] == 0
    assert torch.equal(healthy["image"], head["image"])


def test_a_head_without_room_stays_normal(head):
    item = drawn({**head, "depth": np.zeros_like(head["depth"])})
    assert item["label"] == 0
    assert torch.equal(item["image"], head["image"])


def test_two_channels_are_refused(head):
    with pytest.raises(ValueError, match="lesions are drawn into images of one channel, found 2"):
        drawn({**head, "image": head["image"].repeat(2, 1, 1, 1)})

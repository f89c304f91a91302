from __future__ import annotations

import torch

from hrcam_monai.metrics.measures import LOCALIZATION, Measure
from hrcam_monai.transforms.scores import MapScores, has_lesion
from hrcam_monai.utils.classes import Classes

ITEM = {"subject": "s", "label": 1, "mask": torch.tensor([[[1, 0, 0]]])}


def test_a_map_has_every_measure_of_the_list():
    assert set(MapScores((1.0, 1.0))(ITEM, torch.tensor([[0.9, 0.1, 0.0]]))) == set(LOCALIZATION)


def test_a_measure_is_added_in_the_list_alone(monkeypatch):
    monkeypatch.setitem(LOCALIZATION, "marked_share", Measure("marked share", of=lambda heat, mask: float((heat > 0.5).mean())))
    found = MapScores((1.0, 1.0))(ITEM, torch.tensor([[0.9, 0.8, 0.0]]))
    assert found["marked_share"] == 2 / 3


def test_a_lesion_is_of_a_finding_and_drawn():
    assert has_lesion(ITEM, Classes(("a", "b")))
    assert not has_lesion(ITEM | {"label": 0}, Classes(("a", "b")))
    assert has_lesion(ITEM | {"label": 0}, Classes(("a", "b"), None))
    assert not has_lesion(ITEM | {"mask": torch.zeros(1, 1, 3)}, Classes(("a", "b")))

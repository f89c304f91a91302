from __future__ import annotations

import torch

from hrcam_monai.metrics.localization import localization_scores
from hrcam_monai.metrics.measures import LOCALIZATION, MEANS, OF_MAPS, SHOWN, cells, columns


def test_the_table_names_what_is_measured():
    heat, mask = torch.tensor([[0.9, 0.1]]), torch.tensor([[1, 0]])
    scores = localization_scores(heat, mask, spacing=(1.0, 1.0), tolerance_mm=0.0)
    assert list(scores) == [key for key, measure in LOCALIZATION.items() if measure.of is None]
    assert set(SHOWN) < set(MEANS) < set(OF_MAPS)


def test_no_title_twice():
    titles = [measure.title for measure in OF_MAPS.values()]
    assert len(set(titles)) == len(titles)


def test_columns_are_those_that_some_line_has():
    lines = [{"pixel_ap": 0.5, "pixel_ap_ci95": [0.25, 0.75]}, {"peak_distance_mm": 4.0, "peak_distance_mm_ci95": [3.0, 5.0]}]
    shown = columns(lines)
    assert [measure.title for measure in shown.values()] == ["pixel AP", "peak off, mm"]
    assert [cells(line, shown) for line in lines] == [["0.500 [0.250, 0.750]", ""], ["", "4.0 [3.0, 5.0]"]]

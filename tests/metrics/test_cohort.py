import numpy as np
import pytest
import torch

from hrcam_monai.metrics import (
    SubjectMetric,
    bootstrap_interval,
    finding_groups,
    pixel_average_precision,
    summarize,
    told_from,
)
from hrcam_monai.utils.classes import Classes


def batch(shape, seed=0):
    torch.manual_seed(seed)
    masks = torch.rand(6, 1, *shape) > 0.8
    return torch.rand(6, 1, *shape) + 0.5 * masks, masks


@pytest.mark.parametrize("shape", [(12, 10), (6, 5, 4)])
def test_batch_equals_one_by_one_equals_list(shape):
    maps, masks = batch(shape)
    together, apart, listed = (SubjectMetric(pixel_average_precision) for _ in range(3))
    values = together(maps, masks)
    for m, t in zip(maps, masks, strict=True):
        apart(m[None], t[None])
    listed(list(maps), list(masks))
    assert values.shape == (6, 1)
    assert together.aggregate() == apart.aggregate() == listed.aggregate()


def test_the_interval_is_the_bootstraps():
    maps, masks = batch((12, 10))
    metric = SubjectMetric(pixel_average_precision, samples=200, seed=3)
    values = metric(maps, masks).numpy().ravel()
    summary = metric.aggregate()
    assert summary.mean == pytest.approx(values.mean())
    assert (summary.low, summary.high) == bootstrap_interval(np.mean, values, samples=200, seed=3)
    assert summary.low < summary.mean < summary.high


def test_healthy_subjects_are_not_counted_and_reset_forgets():
    maps, masks = batch((12, 10))
    masks[2] = False
    metric = SubjectMetric(pixel_average_precision)
    assert metric(maps, masks).isnan().flatten().tolist() == [False, False, True, False, False, False]
    assert metric.aggregate().subjects == 5
    metric.reset()
    assert metric.aggregate().subjects == 0


def test_other_errors_are_not_hidden():
    with pytest.raises(ValueError, match="one grid"):
        SubjectMetric(pixel_average_precision)(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 5))
    with pytest.raises(ValueError, match=r"maps have 2 channels; choose one class, \[B, 1, \*spatial\]"):
        SubjectMetric(pixel_average_precision)(torch.rand(1, 2, 4, 4), torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="give what the map is measured with"):
        SubjectMetric(pixel_average_precision)(torch.rand(1, 1, 4, 4))


def test_summary_of_nothing():
    assert summarize([]).subjects == 0
    assert np.isnan(summarize([float("nan")]).mean)


def test_a_group_is_told_from_the_reference_or_from_the_other_classes():
    labels = {"none": 0, "faint": 1, "plain": 1, "fourth": 2}
    rows = [{"group": group, "label": label} for group, label in labels.items()]
    names = ("a", "b", "c")
    some, every = Classes(names), Classes(names, None)
    groups = lambda group, classes=some: [r["group"] for r in told_from(rows, group, classes)]  # noqa: E731
    assert groups("plain") == ["none", "plain"]
    assert groups("plain", every) == ["none", "plain", "fourth"]
    assert groups("none", every) == ["none", "faint", "plain", "fourth"]
    assert finding_groups(rows, some) == ["faint", "fourth", "plain"]
    assert finding_groups(rows, every) == ["faint", "fourth", "none", "plain"]

import pytest
import torch

from hrcam_monai.metrics import SubjectMetric, blurred, completeness_error, deletion_insertion, stability
from hrcam_monai.metrics.faithfulness import correlation
from hrcam_monai.networks import HRCAMNet, StageCNN


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("pooling", ["gap", "lse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_hrcam_is_complete(dims, pooling, dtype):
    net = (
        HRCAMNet(StageCNN(spatial_dims=dims, channels=(4, 8), convs=(1, 1)), 3, spatial_dims=dims, pooling=pooling)
        .eval()
        .to(dtype)
    )
    logits, maps = net.class_maps(torch.rand(2, 1, *[16] * dims).to(dtype))
    assert completeness_error(logits, maps, pooling=pooling).max() < 1e-4


def test_an_incomplete_map_is_seen():
    assert completeness_error(torch.zeros(1, 2), torch.full((1, 2, 3, 3), 2.0), pooling="gap").item() == 2


def case(shape):
    """A flat brain in air with one bright spot; the score is how bright it gets."""
    image = torch.zeros(1, *shape)
    image[(0, *[slice(2, -2)] * len(shape))] = 1
    spot = (0, *[slice(5, 7)] * len(shape))
    image[spot] = 5
    return image, (image[0] > 2).float(), lambda x: x.flatten(1).amax(1)


@pytest.mark.parametrize("shape", [(16, 16), (12, 12, 12)])
def test_the_right_map_beats_the_wrong_one(shape):
    image, right, score = case(shape)
    good, bad = deletion_insertion(right, image, score), deletion_insertion(-right, image, score)
    assert good.deletion_auc < bad.deletion_auc
    assert good.insertion_auc > bad.insertion_auc
    assert good.deletion[0] == good.insertion[-1] == 5  # the whole image
    assert good.deletion[-1] == good.insertion[0] < 2.5  # nothing of it
    few = deletion_insertion(right, image, score, share=0.1)
    assert few.fractions[-1] == pytest.approx(0.1)


def test_batch_size_changes_nothing_and_the_metric_streams_it():
    image, right, score = case((16, 16))
    assert deletion_insertion(right, image, score, batch=3).deletion_auc == deletion_insertion(right, image, score).deletion_auc
    metric = SubjectMetric(lambda heat, other: deletion_insertion(heat, other[None], score).deletion_auc)
    metric(right[None, None], image[None])
    assert metric.aggregate().mean == deletion_insertion(right, image, score).deletion_auc


def test_the_fill_is_a_smooth_brain_without_a_rim():
    image, *_ = case((32, 32))
    fill = blurred(image, sigma=3)
    assert (fill[image == 0] == 0).all()
    assert fill[0, 2:-2, 2:-2].min() >= 1 - 1e-5  # no air has bled in
    assert fill.max() < 3


def test_bad_input():
    with pytest.raises(ValueError, match=r"map is \(4, 4\), image is \(5, 5\); they must be on one grid"):
        deletion_insertion(torch.rand(4, 4), torch.rand(1, 5, 5), lambda x: x.sum((1, 2, 3)))
    with pytest.raises(ValueError, match=r"share is 0; it must lie in \(0, 1\]"):
        deletion_insertion(torch.rand(4, 4), torch.rand(1, 4, 4), lambda x: x.sum((1, 2, 3)), share=0)


def test_stability_tells_a_steady_map_from_a_restless_one():
    image = torch.rand(1, 24, 24) + 1
    assert stability(lambda x: x[0, 0], image) > 0.99
    assert abs(stability(lambda x: torch.randn(24, 24), image)) < 0.2
    assert stability(lambda x: x[0, 0], image, noise=3) == stability(lambda x: x[0, 0], image, noise=3)


def test_correlation():
    a = torch.tensor([0.0, 1.0, 2.0])
    assert correlation(a, -a) == pytest.approx(-1)
    assert torch.tensor(correlation(a, torch.ones(3))).isnan()
    assert correlation(a, torch.tensor([9.0, 1.0, 2.0]), torch.tensor([False, True, True])) == pytest.approx(1)

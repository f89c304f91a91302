from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from hrcam_monai.fit.pooled import collect, labels_of, logits_of
from hrcam_monai.networks import HRCAMNet


@pytest.mark.parametrize(
    ("output", "last", "expected"),
    [
        (torch.tensor([[1.0], [-2.0]]), "linear", [[0, 1], [0, -2]]),
        (torch.tensor([1.0, -2.0]), "linear", [[0, 1], [0, -2]]),
        (torch.tensor([1.0, -2.0]).sigmoid(), "sigmoid", [[0, 1], [0, -2]]),
        (torch.tensor([[1.0, 3.0]]).log_softmax(1), "log_softmax", [[-2.126928, -0.126928]]),
        (torch.tensor([[1.0, 3.0]]).softmax(1), "softmax", [[-2.126928, -0.126928]]),
    ],
)
def test_logits_of_what_classifiers_put_out(output, last, expected):
    torch.testing.assert_close(logits_of(output, 2, last), torch.tensor(expected, dtype=torch.float32))


def test_a_sure_sigmoid_has_finite_logits():
    assert torch.isfinite(logits_of(torch.tensor([0.0, 1.0]), 2, "sigmoid")).all()


@pytest.mark.parametrize(
    "output", [torch.zeros(2, 7), torch.zeros(2, 1, 1, 2), {"logits": torch.zeros(2, 2)}, torch.zeros(2, 1, 8)]
)
def test_what_is_no_logits(output):
    assert logits_of(output, 2, "linear") is None
    assert logits_of(torch.zeros(2), 3, "linear") is None


def test_labels_of_indices_and_one_hot_rows():
    assert labels_of(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 2).tolist() == [1, 0]
    assert labels_of(torch.tensor([[2], [0]]), 3).tolist() == [2, 0]
    for rows in ([[1, 1]], [[0, 0]], [[0.5, 0.5]]):
        with pytest.raises(ValueError, match=r"^Labels are rows of 2 that are not one-hot; .* one an image\.$"):
            labels_of(torch.tensor(rows), 2)


class Ends(nn.Module):
    """A CNN of two classes that ends as told."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end = end
        self.conv, self.fc, self.sigmoid = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(3, 2), nn.Sigmoid()

    def forward(self, x):
        z = self.fc(self.conv(x).relu().mean((2, 3)))
        one = z[:, 1:] - z[:, :1]
        return {
            "logits": z,
            "softmax": z.softmax(1),
            "module": self.sigmoid(one),
            "function": torch.sigmoid(one).squeeze(1),
            "method": one.squeeze(1).sigmoid(),
            "seven": z.repeat(1, 4)[:, :7],
        }[self.end]


@pytest.mark.parametrize("end", ["softmax", "module", "function", "method"])
def test_every_end_is_judged_as_its_logits(end):
    torch.manual_seed(0)
    loader = [(torch.rand(6, 1, 12, 12), torch.arange(6) % 2) for _ in range(2)]
    logits = Ends("logits")
    other = Ends(end)
    other.load_state_dict(logits.state_dict())
    judged = [collect(HRCAMNet(cnn.eval(), 2), loader, 4, 0)["logits"] for cnn in (logits, other)]
    torch.testing.assert_close(judged[0].softmax(1), judged[1].softmax(1))


def test_a_cnn_without_logits_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        found = collect(HRCAMNet(Ends("seven").eval(), 2), [(torch.rand(6, 1, 12, 12), torch.arange(6) % 2)], 4, 0)
    assert found["logits"] is None
    assert "The CNN puts out (6, 7), no logits of 2 classes: the fit is judged without it." in caplog.text


def test_as_many_labels_as_images():
    with pytest.raises(ValueError, match=r"^A batch has 2 images and 4 labels; give one label an image, 0 to 2\.$"):
        collect(HRCAMNet(Ends("logits"), 3), [(torch.rand(2, 1, 12, 12), torch.tensor([[1, 0], [0, 1]]))], 4, 0)

from __future__ import annotations

import re

import pytest
import torch

from hrcam_monai import weights
from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.weights import load_best, load_weights, save_weights


def small_net(num_classes=2):
    return HRCAMNet(StageCNN(num_classes=num_classes, channels=(3, 4), convs=(1, 1)), num_classes=num_classes)


def test_round_trip(tmp_path):
    net = small_net()
    save_weights(net, tmp_path / "new" / "model.pt")
    other = small_net()
    other.head.weight.data.zero_()
    load_weights(other, tmp_path / "new" / "model.pt")
    torch.testing.assert_close(other.head.weight, net.head.weight)
    load_weights(other, None)


def test_best_checkpoint_is_taken_when_there_is_one(tmp_path):
    net = small_net()
    torch.save({"network": net.state_dict()}, tmp_path / "best.pt")
    kept = net.head.bias.clone()
    net.head.bias.data.add_(1)
    load_best(net, tmp_path / "nowhere")
    assert not torch.equal(net.head.bias, kept)
    load_best(net, tmp_path)
    assert torch.equal(net.head.bias, kept)


def test_the_best_checkpoint_is_read_only_when_the_main_process_has_written_it(tmp_path, monkeypatch):
    net = small_net()
    monkeypatch.setattr(weights, "wait", lambda: torch.save({"network": net.state_dict()}, tmp_path / "best.pt"))
    kept = net.head.bias.clone()
    other = small_net()
    other.head.bias.data.add_(1)
    load_best(other, tmp_path)
    assert torch.equal(other.head.bias, kept)


@pytest.mark.parametrize("key", [None, "state_dict", "model", "network"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_of_all_kinds(key, prefix, tmp_path):
    cnn, other = StageCNN(channels=(3,), convs=(1,)), StageCNN(channels=(3,), convs=(1,))
    state = {prefix + k: v for k, v in cnn.state_dict().items()}
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "cnn.pt")
    load_weights(other, tmp_path / "cnn.pt")
    assert torch.equal(other.fc.weight, cnn.fc.weight)


def test_what_cannot_be_loaded(tmp_path):
    path = tmp_path / "model.pt"

    def told(error, message, network):
        with pytest.raises(error, match=re.escape(message)):
            load_weights(network, path)

    told(FileNotFoundError, f"{path}: no such weights file; train first, or give the path of one.", small_net())
    save_weights(small_net(), path)
    told(
        ValueError,
        f"{path}: weights for 2 classes, but 3 are configured; give the classes they were trained for.",
        small_net(3),
    )
    told(ValueError, "; use the configuration of the network they belong to.", StageCNN())
    path.write_bytes(path.read_bytes()[:2000])
    told(ValueError, f"{path}: not a whole file of weights; write it by torch.save(net.state_dict(), path).", small_net())
    torch.save({"epoch": 3}, path)
    told(ValueError, f"{path}: holds no state dict; write it by torch.save(net.state_dict(), path).", small_net())

from __future__ import annotations

import re

import numpy as np
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


@pytest.mark.parametrize(
    "key", [None, "state_dict", "model", "network", "network_def", "model_state", "network_weights", "weights"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net."])
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


def test_what_a_wrapper_keeps_beside_its_network_is_left_out(tmp_path):
    cnn, other = StageCNN(channels=(3,), convs=(1,)), StageCNN(channels=(3,), convs=(1,))
    state = {f"net.{k}": v for k, v in cnn.state_dict().items()} | {"loss.weight": torch.ones(2)}
    torch.save({"state_dict": state, "best_auc": np.float64(0.9), "epoch": np.int64(3)}, tmp_path / "cnn.pt")
    load_weights(other, tmp_path / "cnn.pt")
    assert torch.equal(other.fc.weight, cnn.fc.weight)
    twice = {f"{p}.{k}": v for p in ("student", "teacher") for k, v in cnn.state_dict().items()}
    torch.save(twice, tmp_path / "cnn.pt")  # which of the two, only the user knows
    with pytest.raises(ValueError, match="weights of another network"):
        load_weights(other, tmp_path / "cnn.pt")


def test_no_code_is_run(tmp_path):
    torch.save(small_net(), tmp_path / "whole.pt")
    with pytest.raises(ValueError, match=r"whole.pt: holds a whole pickled network, which could run code; write its weights"):
        load_weights(small_net(), tmp_path / "whole.pt")
    torch.jit.script(StageCNN()).save(tmp_path / "script.pt")
    with pytest.raises(ValueError, match=r"script.pt: is TorchScript, not weights; list inference_exported.json"):
        load_weights(StageCNN(), tmp_path / "script.pt")

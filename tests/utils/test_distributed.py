from __future__ import annotations

import pytest
import torch
from torch.multiprocessing import spawn

from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.utils.distributed import (
    DistributedMaps,
    gather_rows,
    is_main_process,
    local_device,
    place,
    share,
    start,
    stop,
)


def test_one_process_is_the_main_one_and_rows_are_sorted():
    rows = [{"subject": "b", "file": "2"}, {"subject": "a", "file": "1"}, {"subject": "b", "file": "2"}]
    assert is_main_process()
    assert [r["subject"] for r in gather_rows(rows)] == ["a", "b"]
    assert local_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_every_item_is_dealt_once_and_its_place_is_known(monkeypatch):
    assert share("abc") == ["a", "b", "c"]
    monkeypatch.setenv("WORLD_SIZE", "3")
    seen = {}
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        seen |= {place(i): item for i, item in enumerate(share("abcdefg"), 1)}
        assert len(share("a")) == (rank == 0)
    assert "".join(seen[i] for i in range(7)) == "abcdefg"


def worker(rank: int, port: int) -> None:
    import os

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    start()
    assert is_main_process() == (rank == 0)
    assert [r["subject"] for r in gather_rows([{"subject": f"s{rank}", "file": ""}, {"subject": "both", "file": ""}])] == [
        "both",
        "s0",
        "s1",
    ]
    torch.manual_seed(0)
    net = DistributedMaps(HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1)), 2, pooling="lse"), find_unused_parameters=True)
    torch.manual_seed(rank)
    logits, maps = net(torch.rand(2, 1, 16, 16))
    (logits[:, 0].sum() + maps.abs().mean()).backward()
    gradient = net.module.head.weight.grad
    other = [torch.zeros_like(gradient) for _ in range(2)]
    torch.distributed.all_gather(other, gradient)
    assert torch.equal(other[0], other[1])  # each process saw other images, and their gradients were averaged
    assert not any(k.startswith("module.") for k in net.module.state_dict())
    stop()


@pytest.mark.slow
def test_gradients_of_logits_and_maps_are_synchronised():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(worker, args=(port,), nprocs=2)

"""Several processes (torchrun): who writes, how rows come together, and how class maps pass through DDP."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "DistributedMaps",
    "gather",
    "gather_rows",
    "is_main_process",
    "local_device",
    "place",
    "process_rank",
    "share",
    "start",
    "stop",
    "wait",
]

# s, at the end of a run: gloo's threads need Python's lock to free what they gathered, and torch 2.13 may join them holding it
GRACE = 0.1


def local_device() -> torch.device:
    """The GPU of this process, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def start() -> None:
    """Join the process group that torchrun describes: nccl on GPUs, gloo on CPUs."""
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    """Leave the process group together: a process that left early would strand one still in a collective."""
    if dist.is_initialized():
        wait()
        time.sleep(GRACE)
        dist.destroy_process_group()


def wait() -> None:
    """Until all processes are here: what the main process was writing is then complete."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def process_rank() -> int:
    """Number of this process under torchrun, also before the processes have joined and after; 0 when there is only one."""
    return int(os.environ.get("RANK", "0"))


def _process_count() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes the files; always, when there is only one."""
    return process_rank() == 0


def share(items: Sequence[Any]) -> list[Any]:
    """This process's part of a cohort, in turn; empty if there are fewer items than processes.

    No item is dealt twice to fill the last turn (a sampler for training does), so results are those of one process.
    """
    return list(items[process_rank() :: _process_count()])


def place(iteration: int) -> int:
    """Index in the cohort of the item that this process reads in an iteration (from 1), as `share` deals them."""
    return (iteration - 1) * _process_count() + process_rank()


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of the processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return items
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def gather_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of all processes, sorted by subject; of two rows of one subject and file the last is kept."""
    unique = {(str(r["subject"]), str(r["file"])): r for r in gather(rows)}
    return [unique[key] for key in sorted(unique)]


class DistributedMaps(DistributedDataParallel):
    """DistributedDataParallel of an HRCAMNet whose forward pass gives (logits, maps).

    DDP synchronises gradients of `forward` alone, and training needs the maps.
    """

    def _run_ddp_forward(self, *inputs: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.module.class_maps(*inputs, **kwargs)

"""Several processes (torchrun): who writes, how rows come together, and how class maps pass through DDP."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel


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
        dist.destroy_process_group()


def wait() -> None:
    """Until all processes are here: what the main process was writing is then complete."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def is_main_process() -> bool:
    """Whether this process writes the files; always, when there is only one."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of the processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return items
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def gather_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of all processes, sorted by subject; a subject that padding gave to two processes is kept once."""
    unique = {(str(r["subject"]), str(r["file"])): r for r in gather(rows)}
    return [unique[key] for key in sorted(unique)]


class DistributedMaps(DistributedDataParallel):
    """DistributedDataParallel of an HRCAMNet whose forward pass gives (logits, maps): DDP synchronises gradients of
    `forward` alone, and training needs the maps."""

    def _run_ddp_forward(self, *inputs: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.module.class_maps(*inputs, **kwargs)

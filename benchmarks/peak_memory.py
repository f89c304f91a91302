"""Peak memory of one call above what was in use before it: the CUDA allocator's count, or a process's resident memory.

On a CPU no allocator keeps count, so each method runs in a fresh process (`fresh_peak_mb`), whose high-water mark of
resident memory is set back just before the call. Weights, input and a first small call count as in use before.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import re
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from cases import Case, Setup, make_input, ready
from torch import Tensor, nn

MB = 1e6
WARM_SIDE = 32  # pixels a side of the first small call
MMAP_THRESHOLD = -3  # of glibc's mallopt: blocks from so many bytes up go back to the system when freed
PAGES = 64 * 1024
PROC = Path("/proc/self")


def _status_mb(key: str) -> float:
    """A line of /proc/self/status, in MB."""
    found = re.search(rf"{key}:\s+(\d+) kB", (PROC / "status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / MB


def _max_rss_mb() -> float:
    """Highest resident memory of this process so far; the unit differs between systems."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak * 1024 / MB


def resident_peak_mb(call: Callable[[], object]) -> float:
    """MB of resident memory that a call adds at its peak."""
    if not (PROC / "clear_refs").exists():  # not Linux: the mark cannot be set back, so the call must exceed it
        before = _max_rss_mb()
        call()
        return _max_rss_mb() - before
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    (PROC / "clear_refs").write_text("5")
    before = _status_mb("VmRSS")
    call()
    return _status_mb("VmHWM") - before


def cuda_peak_mb(call: Callable[[], object], device: torch.device) -> float:
    """MB that a call adds at its peak to what tensors take on the GPU."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / MB


def forget_gradients(*modules: nn.Module) -> None:
    """Drop gradients that a method left on weights: they are its own cost, to be counted at each call."""
    for module in modules:
        module.zero_grad(set_to_none=True)


def give_back_freed() -> None:
    """Have glibc give freed blocks back to the system: count what is in use, not what is kept for later."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_THRESHOLD, PAGES)


def _measure(case: Case, method: str, batch: int, seed: int, threads: int, budget: float) -> float:
    """What `fresh_peak_mb` runs in its process."""
    give_back_freed()
    torch.set_num_threads(threads)
    setup = Setup(case, make_input(case, torch.device("cpu"), batch, seed), seed, budget)
    call = ready(method, setup)
    call(torch.rand(1, 1, *[WARM_SIDE] * setup.case.spatial_dims))
    forget_gradients(*setup.copies)
    return resident_peak_mb(lambda: call(setup.x))


def fresh_peak_mb(case: Case, method: str, batch: int, seed: int = 0, threads: int = 1, budget: float = 8.0) -> float:
    """MB that a method adds at its peak, on the CPU, eager, float32, in a process of its own.

    Raises:
        MemoryError: the operating system ended the process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai.visualize", "hrcam_monai.networks"])  # imported once, not for every method
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_measure, case, method, batch, seed, threads, budget).result()
        except BrokenProcessPool:
            raise MemoryError("ended by the operating system, out of memory") from None


def tensor_mb(x: Tensor) -> float:
    """MB of a tensor's values."""
    return x.numel() * x.element_size() / MB

"""Run the bundle's configs as a user does: python -m monai.bundle run, in a process and folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
TINY = {  # a network and a grid that train in seconds
    "roi_size": [24, 28, 20],
    "spacing": [8.0, 8.0, 8.0],
    "backbone::channels": [4, 6],
    "backbone::convs": [1, 1],
}


def command(*configs: str, processes: int = 0, **overrides: object) -> list[str]:
    """The command line of one workflow with the given configs and overrides, by torchrun if so many processes are asked for."""
    files = [str(CONFIGS / f"{name}.json") for name in configs]
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes else []
    line = [sys.executable, "-W", "ignore", *launch, "-m", "monai.bundle", "run", "--config_file", str(files)]
    line += ["--bundle_root", str(CONFIGS.parent)]
    for key, value in overrides.items():
        line += [f"--{key}", str(value)]
    return line


def environment() -> dict[str, str]:
    """One thread a process, and no GPU."""
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def hrcam_monai(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the package's own commands from `cwd`."""
    line = [sys.executable, "-W", "ignore", "-m", "hrcam_monai", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment(), timeout=600)


def run(*configs: str, cwd: Path, processes: int = 0, **overrides: object) -> subprocess.CompletedProcess[str]:
    """Run one workflow from `cwd`."""
    line = command(*configs, processes=processes, **overrides)
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment(), timeout=600)

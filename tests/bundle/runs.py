"""Run the bundle's configs as a user does: `python -m monai.bundle run`, from a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import environment, run_module

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
TINY = {  # a network and a grid that train in seconds
    "roi_size": [24, 28, 20],
    "spacing": [8.0, 8.0, 8.0],
    "backbone::channels": [4, 6],
    "backbone::convs": [1, 1],
}


def arguments(*configs: str, **overrides: object) -> list[str]:
    """What follows `python -m monai.bundle` for a workflow of the given configs and overrides."""
    files = [str(CONFIGS / f"{name}.json") for name in configs]
    line = ["run", "--config_file", str(files), "--bundle_root", str(CONFIGS.parent)]
    for key, value in overrides.items():
        line += [f"--{key}", str(value)]
    return line


def command(*configs: str, processes: int = 0, **overrides: object) -> list[str]:
    """The whole command line, by torchrun if so many processes are asked for."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes else []
    return [sys.executable, "-W", "ignore", *launch, "-m", "monai.bundle", *arguments(*configs, **overrides)]


def run(*configs: str, cwd: Path, processes: int = 0, **overrides: object) -> subprocess.CompletedProcess[str]:
    """Run one workflow from `cwd`."""
    if not processes:
        return run_module("monai.bundle", *arguments(*configs, **overrides), cwd=cwd)
    line = command(*configs, processes=processes, **overrides)
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=environment(), timeout=600)

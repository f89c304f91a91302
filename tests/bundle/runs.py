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


def run(*configs: str, cwd: Path, processes: int = 0, **overrides: object) -> subprocess.CompletedProcess[str]:
    """One workflow from `cwd`, with the given configs and overrides."""
    files = [str(CONFIGS / f"{name}.json") for name in configs]
    launch = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=29517"] if processes else []
    command = [sys.executable, "-W", "ignore", *launch, "-m", "monai.bundle", "run", "--config_file", str(files)]
    command += ["--bundle_root", str(CONFIGS.parent)]
    for key, value in overrides.items():
        command += [f"--{key}", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=600)

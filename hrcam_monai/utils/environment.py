"""What a figure depends on beside the code: kept beside every result."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["commit", "cpu_cores", "environment", "versions"]

PACKAGES = ("torch", "monai", "hrcam-monai", "torchcam")
ROOT = Path(__file__).parents[2]


def _cpu_model() -> str:
    """The processor's name, as the operating system knows it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1] for line in info.read_text().splitlines() if "model name" in line] if info.is_file() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def cpu_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Python and the packages; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is checked out; `+ changes` if code differs from it, `unknown` outside a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        # results and documents do not change a figure
        changed = git("status", "--porcelain", "--", "hrcam_monai", "bundle", "benchmarks/*.py")
        return git("rev-parse", "--short=12", "HEAD") + (" + changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def environment(seed: int) -> dict[str, Any]:
    """Machine, versions, seed and commit. No date: the same run gives the same file.

    Example:
        >>> environment(0)["seed"]
        0
    """
    return {
        "machine": {
            "cpu": _cpu_model(),
            "cores": cpu_cores(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        },
        "versions": versions(),
        "seed": seed,
        "commit": commit(),
    }

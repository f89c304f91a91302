"""Commands as a user types them, without the seconds in which every process imports MONAI.

A server that has imported it forks for each command: the child has memory, working directory, arguments and exit status of
its own, as a new interpreter would. Tests of what processes themselves do (signals, torchrun, packages) start real ones.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

SINGLE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # one thread a process, and no GPU


def environment() -> dict[str, str]:
    """The environment of every process that tests start."""
    return os.environ | SINGLE


def _child(module: str, arguments: Sequence[str], cwd: str, files: Sequence[str]) -> None:
    for descriptor, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY), descriptor)
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # a new interpreter knows nothing of a server
    os.environ.update(SINGLE)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:  # as an interpreter ends; multiprocessing would write a text of its own
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.exit(1)


def run_module(module: str, *arguments: object, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """What `python -W ignore -m MODULE ARGUMENTS` does from a folder.

    Raises:
        TimeoutError: it takes longer.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai.bundle", "hrcam_monai.networks", "hrcam_monai.handlers.evaluation"])
    line = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        for file in files:
            file.touch()
        process = context.Process(target=_child, args=(module, line, str(cwd), list(map(str, files))))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{module} {' '.join(line)}: ran longer than {timeout:g} s")
        out, err = (file.read_text() for file in files)
    return subprocess.CompletedProcess([module, *line], process.exitcode, out, err)

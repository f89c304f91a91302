"""Symbolic links that leave the data folder: what they show may be anyone's, so they are refused unless a user allows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hrcam_monai.data.scan_error import ScanError

__all__ = ["FOLLOW", "REFUSED", "check_links", "leaves"]

FOLLOW = "HRCAM_FOLLOW_LINKS"  # variable, which the processes of a command inherit; set by --follow-links
REFUSED = (
    "is, or holds, a symbolic link that leaves the data folder; copy the file there, or allow such links: "
    "python -m hrcam_monai --follow-links ..., or --follow_links True of monai.bundle run"
)


def leaves(path: Path, folder: Path) -> bool:
    """Whether a path, or a file directly in it, is behind a symbolic link that leads out of a folder, and none may.

    The folder itself may be a link: it is what the user has named.

    Example:
        >>> leaves(Path("/tmp/a.nii.gz"), Path("/tmp"))
        False
    """
    if os.environ.get(FOLLOW):
        return False
    files: Iterable[Path] = [path]
    if path.is_dir():
        with os.scandir(path) as entries:
            files = [path, *(Path(e.path) for e in entries if e.is_symlink())]
    root = folder.resolve()
    return any(not file.resolve().is_relative_to(root) for file in files)


def check_links(path: Path, folder: Path) -> None:
    """See that no link leaves the folder.

    Raises:
        ScanError: one does; of a folder of DICOM it alone is named.
    """
    if leaves(path, folder):
        raise ScanError(f"{path}: {REFUSED}.")

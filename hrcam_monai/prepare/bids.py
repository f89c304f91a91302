"""BIDS folders: the one anatomical image of each subject."""

from __future__ import annotations

import re
from pathlib import Path

from hrcam_monai.data.reading import ScanError

__all__ = ["bids_image", "is_bids"]

PLACES = ("anat", "ses-*/anat")


def is_bids(source: Path) -> bool:
    """Whether a folder is laid out as BIDS: it says so, or holds sub-*/[ses-*/]anat/*.nii[.gz]."""
    described = (source / "dataset_description.json").is_file()
    return described or any(file for place in PLACES for file in source.glob(f"sub-*/{place}/*.nii*"))


def bids_image(folder: Path, suffix: str = "T1w", match: str | None = None) -> Path:
    """The anatomical image of one subject.

    Args:
        folder: SOURCE/sub-XX.
        suffix: end of the file's name: T1w, FLAIR, T2w...
        match: regular expression found in the file's name, to choose a session, a run or an entity such as ce-.

    Raises:
        ScanError: none, or several.

    Example:
        >>> bids_image(Path("study/sub-01"), match="ce-gd").name  # doctest: +SKIP
        'sub-01_ce-gd_T1w.nii.gz'
    """
    there = sorted(
        f for place in PLACES for f in folder.glob(f"{place}/*") if f.name.endswith((".nii", ".nii.gz")) and f.name[0] != "."
    )
    found = [f for f in there if re.search(rf"_{re.escape(suffix)}\.nii(\.gz)?$", f.name)]
    if match is not None:
        found = [f for f in found if re.search(match, f.name, re.IGNORECASE)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f.name for f in found)
        raise ScanError(f"{folder}: {len(found)} images fit: {names}; choose one with --match, a regular expression on the name.")
    rule = f"*_{suffix}.nii[.gz]" + (f" that matches --match '{match}'" if match is not None else "")
    names = ", ".join(f.name for f in there) or "no image at all"
    raise ScanError(f"{folder}: has no {rule}; its anat folders hold {names}; choose with --suffix and --match.")

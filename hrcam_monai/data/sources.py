"""What to run inference on: one file, a folder, a DICOM series or a manifest becomes a list of items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrcam_monai.data.file_kinds import SUFFIXES, folder_of_dicom, is_dicom, is_scan, stem
from hrcam_monai.data.links import REFUSED, leaves
from hrcam_monai.data.manifest import Failure, ManifestError, load_manifest
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.sidecar import prepared_with

__all__ = ["SUFFIXES", "find_items", "is_dicom", "is_scan", "stem"]


def _subject(path: Path, root: Path) -> str:
    """A name for outputs: the path below the root, without its suffix."""
    relative = path.relative_to(root) if path != root else Path(path.name)
    return stem("_".join(relative.parts)) or "scan"


def _named_apart(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the second item of a name the suffix `_2`, and so on: outputs are named by subject."""
    taken = {item["subject"] for item in items}
    seen: set[str] = set()
    for item in items:
        name, number = item["subject"], 2
        if name in seen:
            while f"{name}_{number}" in taken:
                number += 1
            item["subject"] = f"{name}_{number}"
            taken.add(item["subject"])
        seen.add(item["subject"])
    return items


def find_items(
    source: str | Path, *, split: str | None = None, root: str | Path | None = None, masks: bool = False
) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Items `{"image", "subject", ...}` of a source, and what had to be left out.

    A manifest (or a folder with `manifest.json`) gives its entries, of one split or of all. Any other folder is
    searched for volumes, folders within it too; a folder that holds DICOM files is one item, its series. So is that of a
    DICOM file (multi-frame), which must be alone in it.

    Args:
        source: what to look at.
        split: of a manifest.
        root: folder that a manifest's paths start from; by default its own.
        masks: of a manifest's split: with those that a person has drawn, to score maps by.

    Raises:
        ManifestError: nothing to read there.

    Example:
        >>> find_items("scan.nii.gz")  # doctest: +SKIP
        ([{'image': 'scan.nii.gz', 'subject': 'scan'}], [])
    """
    path = Path(source).expanduser().absolute()  # tables name files for readers in other folders
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder; give an image, a folder of images or a manifest.")
    if path.suffix == ".json" or (path / "manifest.json").is_file():
        manifest = load_manifest(path, root=root)
        return _named_apart(manifest.items(split, masks=masks) if split else manifest.all_items()), manifest.failures
    if path.is_file() and not is_scan(path) and is_dicom(path):
        try:
            path = folder_of_dicom(path)
        except ScanError as error:
            raise ManifestError(str(error)) from None
        return [{"image": str(path), "subject": _subject(path, path.parent)}], []
    if path.is_file():
        return [{"image": str(path), "subject": _subject(path, path.parent)} | prepared_with(path)], []
    below = sorted(p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    folders = [path, *(p for p in below if p.is_dir())]
    items = []
    for folder in folders:
        files = sorted(p for p in folder.iterdir() if p.is_file() or (p.is_symlink() and not p.exists()))
        scans = [p for p in files if is_scan(p)]
        if not scans and any(is_dicom(p) for p in files):
            scans = [folder]
        items += [{"image": str(p), "subject": _subject(p, path)} | prepared_with(p) for p in scans]
    if not items:
        raise ManifestError(f"{path}: holds no image; expected {', '.join(SUFFIXES)} files or DICOM series.")
    outside = [item for item in items if leaves(Path(item["image"]), path)]
    failures = [Failure(item["subject"], item["image"], REFUSED) for item in outside]
    return _named_apart([item for item in items if item not in outside]), failures

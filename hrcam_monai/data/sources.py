"""What to run inference on: one file, a folder, a DICOM series or a manifest becomes a list of items."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hrcam_monai.data.file_kinds import SUFFIXES, folder_of_dicom, is_dicom, is_scan, stem
from hrcam_monai.data.links import REFUSED, leaves
from hrcam_monai.data.manifest import Failure, ManifestError, load_manifest
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.sidecar import prepared_with

__all__ = ["SUFFIXES", "find_items", "is_dicom", "is_scan", "stem"]


LONGEST = 150  # bytes of a name; file systems take 255, with what outputs add to it
NOT_TEXT = "its name is not UTF-8, so no table can hold it; rename it."


def _subject(path: Path, root: Path) -> str:
    """A name for outputs: the path below the root, without its suffix; of a very long one its beginning and a hash."""
    relative = path.relative_to(root) if path != root else Path(path.name)
    name = stem("_".join(relative.parts)) or "scan"
    whole = os.fsencode(name)
    return name if len(whole) <= LONGEST else f"{whole[:LONGEST].decode(errors='ignore')}_{hashlib.sha256(whole).hexdigest()[:8]}"


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
    searched for volumes, folders within it too, but for those that hold results of an earlier run; a folder that holds
    DICOM files is one item, its series, besides other images in it. So is that of a DICOM file (multi-frame), which must
    be alone in it.

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
    items, failures = [], []
    for image in _images(path):
        subject = _subject(image, path)
        if _shown(str(image)) != str(image):
            failures.append(Failure(_shown(subject), _shown(str(image)), NOT_TEXT))
        elif leaves(image, path):
            failures.append(Failure(subject, str(image), REFUSED))
        else:
            items.append({"image": str(image), "subject": subject} | prepared_with(image))
    if not items and not failures:
        raise ManifestError(f"{path}: holds no image; expected {', '.join(SUFFIXES)} files or DICOM series.")
    return _named_apart(items), failures


def _images(root: Path) -> Iterator[Path]:
    """The image files of a folder and of those within it, and the folders of DICOM series; nothing hidden, no results of ours."""
    below = sorted(p for p in root.rglob("*") if not any(part.startswith(".") for part in p.relative_to(root).parts))
    folders = [root, *(p for p in below if p.is_dir())]
    results = [p for p in folders[1:] if _holds_results(p)]
    for folder in folders:
        if any(folder.is_relative_to(made) for made in results):
            continue
        files = sorted(p for p in folder.iterdir() if p.is_file() or (p.is_symlink() and not p.exists()))
        if any(is_dicom(p) for p in files if not is_scan(p)):
            yield folder
        yield from filter(is_scan, files)


def _holds_results(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("settings.json", "predictions.csv"))


def _shown(name: str) -> str:
    """A file's name as text: with marks in place of bytes that are no UTF-8."""
    return os.fsencode(name).decode("utf-8", errors="replace")

"""What to run inference on: one file, a folder, a DICOM series or a manifest becomes a list of items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrcam_monai.data.links import REFUSED, leaves
from hrcam_monai.data.manifest import Failure, ManifestError, load_manifest
from hrcam_monai.data.pictures import PICTURES
from hrcam_monai.data.sidecar import prepared_with

__all__ = ["SUFFIXES", "find_items", "is_dicom", "is_scan", "stem"]

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npy", *PICTURES)


def is_scan(path: Path) -> bool:
    """Whether the name is that of a volume or picture that can be read, hidden files aside."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its content: names of DICOM files mean nothing, and some have no preamble."""
    if path.name.upper() == "DICOMDIR":  # the index of a disc, no image
        return False
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    if start[128:] == b"DICM":
        return True
    if start[:2] not in (b"\x08\x00", b"\x02\x00") or is_scan(path):  # the first groups of a header, little endian
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SeriesInstanceUID"], force=True)
    except Exception:  # pydicom raises many kinds on what is no DICOM
        return False
    return "SOPClassUID" in header and "SeriesInstanceUID" in header


def stem(file: str | Path) -> str:
    """A file's name without folder and suffix.

    Example:
        >>> stem("scans/p01_T1.nii.gz")
        'p01_T1'
    """
    name = Path(file).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _subject(path: Path, root: Path) -> str:
    """A name for outputs: the path below the root, without its suffix."""
    relative = path.relative_to(root) if path != root else Path(path.name)
    return stem("_".join(relative.parts)) or "scan"


def _folder_of(file: Path) -> Path:
    """The folder of a DICOM file, in whose place it stands: the file's name may be a patient's, and results are named by it.

    Raises:
        ManifestError: it holds other DICOM files.
    """
    others = sum(is_dicom(p) for p in file.parent.iterdir() if p.is_file()) - 1
    if others:
        raise ManifestError(
            f"{file.parent}: holds {others} DICOM file(s) beside the one given; give the folder, or move the one into its own."
        )
    return file.parent


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
    source: str | Path, split: str | None = None, root: str | Path | None = None, masks: bool = False
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
        manifest = load_manifest(path, root)
        return _named_apart(manifest.items(split, masks=masks) if split else manifest.all_items()), manifest.failures
    if path.is_file() and not is_scan(path) and is_dicom(path):
        path = _folder_of(path)
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

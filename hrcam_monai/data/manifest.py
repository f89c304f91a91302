"""Manifests: which images make a task, with labels and subject-level splits (schema: data_manifests/README.md)."""

from __future__ import annotations

import json
import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hrcam_monai.data.file_kinds import folder_of_dicom, is_dicom, is_scan
from hrcam_monai.data.links import REFUSED, leaves
from hrcam_monai.data.names import UNNAMEABLE, alike_names, names_files
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.utils.files import files_hash

__all__ = [
    "FILES",
    "SPLITS",
    "Failure",
    "Manifest",
    "ManifestError",
    "inside",
    "load_manifest",
    "manifest_path",
    "named_classes",
]

SPLITS = ("training", "validation", "test")
FILES = ("image", "mask", "regions")  # keys of an entry that name a file
CRUS, LEFT, RIGHT = 1, 2, 3  # labels of `regions` of neuromelanin MRI: crus cerebri, left and right substantia nigra


class ManifestError(ValueError):
    """A manifest that cannot be used: the message names the file, every fault and the remedy."""


NOT_THERE = "{}: no such manifest; give a JSON file, or a folder with a manifest.json."


@dataclass(frozen=True)
class Failure:
    """One subject left out: what, which file, and why."""

    subject: str
    file: str
    error: str


@dataclass(frozen=True)
class Manifest:
    """A checked manifest.

    Attributes:
        path: the file.
        classes: names of the classes; the index is the label. The first is the reference (no abnormality).
        entries: of each split, dictionaries with absolute `image`, `mask` and `regions` paths, integer `label`, `subject`.
        failures: entries left out: a missing file, an unknown label, a link out of the data folder.
    """

    path: Path
    classes: list[str]
    entries: dict[str, list[dict[str, Any]]]
    failures: list[Failure] = field(default_factory=list)

    def items(self, split: str, masks: bool = False, slices: bool = False, every_class: bool = False) -> list[dict[str, Any]]:
        """Entries of one split; lesion masks (None for an image without) and slice ranges only where they are asked for.

        Raises:
            ManifestError: the split is empty or unknown; with `every_class`, as training asks, one has no image there.
        """
        entries = self.entries.get(split, [])
        if not self.entries and not self.path.is_file():
            raise ManifestError(NOT_THERE.format(self.path))
        if not entries:
            left = f" ({len(self.failures)} entries were left out)" if self.failures else ""
            raise ManifestError(f"{self.path}: split '{split}' is empty{left}; list at least one usable image there.")
        lacking = [c for i, c in enumerate(self.classes) if not any(e["label"] == i for e in entries)] if every_class else []
        if lacking:
            raise ManifestError(
                f"{self.path}: split '{split}' has no usable image of {', '.join(map(repr, lacking))}; "
                "a classifier learns from images of every class."
            )
        left_out = {k for k, kept in (("mask", masks), ("slices", slices)) if not kept}
        asked: dict[str, Any] = {"mask": None} if masks else {}
        return [asked | {k: v for k, v in entry.items() if k not in left_out} for entry in entries]

    def all_items(self) -> list[dict[str, Any]]:
        """Entries of all splits, without masks and slice ranges.

        Raises:
            ManifestError: there is none, and none was left out.
        """
        items = [item for split in SPLITS if self.entries.get(split) for item in self.items(split)]
        if not items and not self.failures:
            raise ManifestError(f"{self.path}: lists no image; name some under {', '.join(SPLITS)}.")
        return items

    def data_hash(self) -> str:
        """sha256 of the content of every file that the entries name, of folders all that they hold."""
        named = sorted(Path(e[key]) for listed in self.entries.values() for e in listed for key in FILES if e.get(key))
        files = [f for path in named for f in (sorted(path.rglob("*")) if path.is_dir() else [path]) if f.is_file()]
        return files_hash(tqdm(files, desc="images", unit="file", delay=2, leave=False))  # gigabytes take a minute


def manifest_path(source: str | Path) -> Path:
    """The manifest that a path means: itself, or `manifest.json` in it when it is a folder."""
    path = Path(os.path.normpath(Path(source).expanduser().absolute()))  # files are told apart by their paths
    return path / "manifest.json" if path.is_dir() else path


def inside(root: Path, relative: str) -> Path | None:
    """The file in the data folder, or None if the path is absolute or climbs out of it."""
    normal = posixpath.normpath(str(relative).replace("\\", "/"))
    if posixpath.isabs(normal) or normal.startswith("..") or ":" in normal.split("/")[0]:
        return None
    return root / normal


def named_classes(source: str | Path, default: Sequence[str] = ("normal", "abnormal")) -> list[str]:
    """The class names of a manifest, unchecked; the default where there is no manifest, or none that can be read.

    Example:
        >>> named_classes("a_folder_of_scans")
        ['normal', 'abnormal']
    """
    path = manifest_path(source)
    try:
        listed = json.loads(path.read_text())["classes"] if path.suffix == ".json" else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # `load_manifest` tells what is wrong with it
        listed = None
    return [str(c) for c in listed] if isinstance(listed, list) and len(listed) > 1 else list(default)


def load_manifest(
    source: str | Path,
    *,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    optional: bool = False,
) -> Manifest:
    """Read and check a manifest.

    Faults of the whole (a subject in two splits, an image listed twice, a path that leaves the data folder, a missing
    key) raise. Faults of one entry (missing file, unknown label, a link out of the folder) leave it out (`failures`).

    Args:
        source: the JSON file, or the folder that holds a `manifest.json`.
        root: folder that image paths start from; by default the manifest's own.
        classes: the class names that a network was made for; they must be the manifest's.
        strict: raise for faults of one entry too.
        optional: a manifest that is not there raises only when its items are asked for (MONAI Label brings its own).

    Raises:
        ManifestError: as above.

    Example:
        >>> load_manifest("cohort/manifest.json").items("training")[0]["label"]  # doctest: +SKIP
        0
    """
    path = manifest_path(source)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        if optional:
            return Manifest(path, list(classes or []), {}, [])
        raise ManifestError(NOT_THERE.format(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not a readable JSON file ({error}).") from None
    folder = Path(os.path.normpath(Path(root).absolute())) if root is not None else path.parent
    listed = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(listed, list) or len(listed) < 2 or len(set(map(str, listed))) < len(listed):
        raise ManifestError(f'{path}: "classes" must list at least two different class names.')
    names = [str(c) for c in listed]
    alike = alike_names(names)
    if alike:
        raise ManifestError(f"{path}: classes {alike}; they would be told apart as two: write them as one.")
    if classes is not None and not all(isinstance(c, str) for c in classes):
        told = [str(c) for c in classes]
        raise ManifestError(f'the configuration\'s classes are {list(classes)}; names are text: --classes "{told}".')
    if classes is not None and names != list(classes):
        raise ManifestError(f"{path}: classes are {names}, the configuration's are {list(classes)}; make them the same.")

    faults: list[str] = []
    failures: list[Failure] = []
    entries: dict[str, list[dict[str, Any]]] = {}
    splits_of: dict[str, set[str]] = {}
    images: Counter[str] = Counter()
    for split in SPLITS:
        listing = content.get(split, [])
        if not isinstance(listing, list):
            faults.append(f"{split} must be a list of entries")
            continue
        for number, raw in enumerate(listing):
            where = f"{split}[{number}]"
            if not isinstance(raw, dict):
                faults.append(f'{where} must be an object {{"image", "label", "subject"}}, not {raw!r:.40}')
                continue
            missing = [k for k in ("image", "subject") if raw.get(k) in (None, "")]
            if missing:
                faults.append(f"{where} has no {', '.join(missing)}")
                continue
            subject = str(raw["subject"])
            if not names_files(subject):
                faults.append(f"{where}: subject '{subject}' {UNNAMEABLE}")
                continue
            splits_of.setdefault(subject, set()).add(split)
            entry = {k: v for k, v in raw.items() if not k.startswith("_")} | {"subject": subject, "split": split}
            outside = False
            for key in FILES:
                if entry.get(key) in (None, ""):
                    entry.pop(key, None)
                    continue
                file = inside(folder, raw[key])
                if file is None:
                    faults.append(f"{where}: {key} '{raw[key]}' leaves the data folder; use a path inside {folder}")
                    outside = True
                    continue
                entry[key] = str(file)
            if outside:
                continue
            problem = _dicom_problem(entry) or _entry_problem(entry, names, folder)
            images[entry["image"]] += 1
            if problem:
                failures.append(Failure(subject, entry["image"], problem))
                continue
            label = entry["label"]
            entry["label"] = names.index(label) if isinstance(label, str) else int(label)
            entries.setdefault(split, []).append(entry)
    faults += [f"image '{i}' is listed {n} times; list it once" for i, n in images.items() if n > 1]
    faults += [
        f"subject '{s}' is in {' and '.join(sorted(found))}; keep all images of a subject in one split"
        for s, found in splits_of.items()
        if len(found) > 1
    ]
    if strict:
        faults += [f"{f.subject}: {f.error}" for f in failures]
    if faults:
        raise ManifestError(f"{path}: " + "; ".join(faults) + ".")
    return Manifest(path, names, entries, failures)


def _dicom_problem(entry: dict[str, Any]) -> str | None:
    """Let the folder stand for a DICOM file that an entry names; what is wrong if it cannot."""
    file = Path(entry["image"])
    if not _exists(entry["image"]) or not file.is_file() or is_scan(file) or not is_dicom(file):
        return None
    entry["image"] = str(file.parent)
    try:
        folder_of_dicom(file)
    except ScanError as error:
        return str(error)
    return None


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _entry_problem(entry: dict[str, Any], classes: list[str], folder: Path) -> str | None:
    for key in FILES:
        if key in entry and not _exists(entry[key]):
            return f"{key} file is missing: {entry[key]:.300}; correct the path or restore the file"
        if key in entry and leaves(Path(entry[key]), folder):
            return f"{key} {REFUSED}"
    label = entry.get("label")
    if label in (None, ""):
        return f"has no label; write one of the classes {classes}"
    known = label in classes if isinstance(label, str) else label in range(len(classes))
    if isinstance(label, bool) or not known:
        return f"label '{label}' is none of the classes {classes}; correct the label or the manifest's classes"
    slices = entry.get("slices")
    if slices is not None:
        pairs = isinstance(slices, list) and all(
            isinstance(r, list) and len(r) == 2 and all(type(v) is int for v in r) and 0 <= r[0] <= r[1] for r in slices
        )
        if not pairs or not slices:
            return f"slices must be ranges [[first, last], ...] of voxel indices, not {slices}"
    return None

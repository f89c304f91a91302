"""The file of a subject in a folder of such files, or by a pattern."""

from __future__ import annotations

import re
from pathlib import Path

from hrcam_monai.data.file_kinds import is_scan
from hrcam_monai.data.manifest import ManifestError
from hrcam_monai.data.scan_error import ScanError

__all__ = ["see_place", "subject_file"]


def see_place(place: str, option: str) -> None:
    """See that what `subject_file` is to look in is there, or a pattern.

    Raises:
        ManifestError: no such folder.
    """
    if not any(c in place for c in "{*?[") and not Path(place).is_dir():
        raise ManifestError(f"{option} {place}: no such folder; give one, or a pattern with {{subject}}.")


def subject_file(place: str, subject: str, option: str) -> Path | None:
    """A subject's file in a folder or by a pattern; None if there is none.

    Args:
        place: a folder, searched to any depth for volumes whose name is the subject's or begins with it and `_` or `.`
            (if several fit, those with "mask" in the name); or a pattern such as masks/{subject}/*_mask.nii.gz.
        subject: its name.
        option: for the message.

    Raises:
        ScanError: several fit.
    """
    if "{subject}" in place or any(c in place for c in "*?["):
        path = Path(place.replace("{subject}", subject)).absolute()
        alone = re.compile(rf"(?<![A-Za-z0-9]){re.escape(subject)}(?![A-Za-z0-9])")  # sub-1* fits sub-10 too
        named = [i for i, part in enumerate(Path(place).absolute().parts) if "{subject}" in part and "**" not in place]
        all_found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        found = sorted(p for p in all_found if all(alone.search(p.parts[i]) for i in named))
    else:
        begins = re.compile(rf"{re.escape(subject)}[_.]")
        found = sorted(p for p in Path(place).rglob("*") if begins.match(p.name) and is_scan(p))
        if len(found) > 1:
            found = [p for p in found if "mask" in p.name.lower()] or found
    if len(found) > 1:
        names = ", ".join(p.name for p in found[:4])
        raise ScanError(
            f"{option}: {len(found)} files fit {subject}: {names}; give a pattern such as 'DIR/{{subject}}*_mask.nii.gz'."
        )
    return found[0] if found else None

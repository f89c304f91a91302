"""What a folder of DICOM or BIDS holds for each subject: image, brain mask, label images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hrcam_monai.data.dicom_series import Series, find_series, read_series
from hrcam_monai.data.file_kinds import is_dicom, is_scan
from hrcam_monai.data.itk_images import from_array
from hrcam_monai.data.links import REFUSED, check_links, leaves
from hrcam_monai.data.manifest import Failure, ManifestError
from hrcam_monai.data.reading import ScanError, read_scan
from hrcam_monai.data.subject_file import see_place, subject_file
from hrcam_monai.prepare.bids import bids_image, is_bids
from hrcam_monai.prepare.listing import Columns, Listed, read_listing
from hrcam_monai.prepare.series_choice import choose_series
from hrcam_monai.utils.files import file_hash, files_hash

__all__ = [
    "Choice",
    "Inputs",
    "check_choice",
    "find_subjects",
    "input_hashes",
    "locate",
    "read_image",
    "read_mask",
]


@dataclass(frozen=True)
class Choice:
    """How a subject's files are found.

    Attributes:
        source: BIDS folder, one with a sub-folder of DICOM a subject, or one of files that a table lists.
        table, columns: see `read_listing`; None for the other layouts.
        series: regular expression on the series' description (DICOM).
        suffix, match: see `bids_image` (BIDS).
        brain_masks, masks, regions: folder, or pattern with {subject}; see `subject_file`.
    """

    source: Path
    series: str | None = None
    suffix: str = "T1w"
    match: str | None = None
    brain_masks: str | None = None
    masks: str | None = None
    regions: str | None = None
    table: Path | None = None
    columns: Columns | None = None

    @cached_property
    def listing(self) -> tuple[dict[str, Listed], list[Failure]]:
        """What the table says of the files, and the lines that cannot be used; nothing without a table."""
        return ({}, []) if self.table is None else read_listing(self.source, self.table, self.columns)

    def of(self, subject: str) -> Choice:
        """The same choice for one subject: of a table's lines its own alone, for a process that makes no other."""
        own = replace(self)
        if self.table is not None:  # as if read: frozen, but for what is cached
            line = self.listing[0].get(subject)
            own.__dict__["listing"] = ({subject: line} if line else {}, [])
        return own

    @cached_property
    def bids(self) -> bool:
        """Whether the source is laid out as BIDS."""
        return is_bids(self.source)


@dataclass(frozen=True)
class Inputs:
    """A subject's files; `labels` by the manifest's keys, `remark` says if a rule was stretched."""

    image: Path | Series
    brain: Path | None
    labels: Mapping[str, Path]
    remark: str | None = None


def check_choice(choice: Choice) -> None:
    """See that the options can be used, before hours of work go by.

    Raises:
        ManifestError: one cannot.
    """
    for option, pattern in (("--series", choice.series), ("--match", choice.match)):
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ManifestError(f"{option} '{pattern}': is no regular expression ({error}).") from None
    for option, place in (("--brain-masks", choice.brain_masks), ("--masks", choice.masks), ("--regions", choice.regions)):
        if place:
            see_place(place, option)


def find_subjects(choice: Choice) -> list[str]:
    """The names of the subjects in the source; of a table's files, theirs.

    Raises:
        ManifestError: no such folder, no subject, or DICOM files directly in it.
    """
    source = choice.source
    if not source.is_dir():
        raise ManifestError(f"{source}: no such folder; give a BIDS folder, or one with a sub-folder of DICOM a subject.")
    if choice.table is not None:
        names, failures = list(choice.listing[0]), choice.listing[1]
        if not names:
            told = f": {failures[0].error}" if failures else ""
            raise ManifestError(f"{choice.table}: none of its lines can be used{told}.")
        return names
    if choice.bids:
        names = sorted(p.name for p in source.glob("sub-*") if p.is_dir())
        if not names:
            raise ManifestError(f"{source}: is a BIDS folder without a subject; expected sub-*/anat/*_T1w.nii.gz.")
        return names
    files = [p for p in sorted(source.iterdir()) if p.is_file()]
    if any(map(is_dicom, files)):
        raise ManifestError(f"{source}: holds DICOM files itself; give the folder above it, with one sub-folder a subject.")
    names = sorted(p.name for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        hint = "; for a folder of files give --table, which says what each is" if any(map(is_scan, files)) else ""
        raise ManifestError(f"{source}: holds no sub-folders; expected one of DICOM files a subject, or sub-*/anat (BIDS){hint}.")
    return names


def locate(choice: Choice, subject: str) -> Inputs:
    """The files of one subject.

    Raises:
        ScanError: no image or several, or a brain mask or regions that were promised are missing.
    """
    folder = choice.source / subject
    image: Path | Series
    remark = None
    listed = choice.listing[0].get(subject)
    if listed is not None:
        image = listed.file
    elif choice.bids:
        image = bids_image(folder, choice.suffix, choice.match)
    else:
        image, remark = choose_series(find_series(folder), choice.series)
    # a lesion mask is of those who have a lesion; brain masks and regions are of everyone or no one
    places = {"--brain-masks": choice.brain_masks, "--masks": choice.masks, "--regions": choice.regions}
    found = {option: subject_file(place, subject, option) for option, place in places.items() if place}
    for option in ("--brain-masks", "--regions"):
        if option in found and found[option] is None:
            raise ScanError(f"{option}: {places[option]} has no file of {subject}; make one, or leave the subject out.")
    for path in image.files if isinstance(image, Series) else [image]:
        if leaves(path, choice.source):
            raise ScanError(f"{folder if isinstance(image, Series) else image}: {REFUSED}.")
    named = {"mask": found.get("--masks") or (listed.mask if listed else None), "regions": found.get("--regions")}
    if listed and named["mask"] == listed.mask and listed.mask:
        check_links(listed.mask, choice.source)
    for option, file in found.items():
        if file and Path(str(places[option])).is_dir():
            check_links(file, Path(str(places[option])))
    return Inputs(image, found.get("--brain-masks"), {key: path for key, path in named.items() if path}, remark)


def input_hashes(inputs: Inputs) -> dict[str, str]:
    """sha256 of each input; of a DICOM series, of the hashes of its slices along the stack."""
    hashes = {}
    if isinstance(inputs.image, Series):
        hashes["image"] = files_hash(inputs.image.files)
    else:
        hashes["image"] = file_hash(inputs.image)
    others = {"brain_mask": inputs.brain, **inputs.labels}
    return hashes | {key: file_hash(path) for key, path in others.items() if path}


def read_image(inputs: Inputs) -> Any:
    """The subject's image as an itk image, float32.

    Raises:
        ScanError: what `read_series` and `read_scan` refuse, or axes that are not at right angles.
    """
    if not isinstance(inputs.image, Series):
        return _read(inputs.image)
    try:
        return from_array(*read_series(inputs.image))
    except ScanError as error:
        raise ScanError(f"series {inputs.image.name}: {error}") from None


def read_mask(path: Path) -> Any:
    """A mask as an itk image, uint8; an empty one is one too.

    Raises:
        ScanError: what `read_scan` refuses, or values that are no whole numbers from 0 to 255.
    """
    return _read(path, mask=True)


def _read(path: Path, mask: bool = False) -> Any:
    scan = read_scan(path, blank=mask)
    array = scan[0].numpy()
    if mask and not ((array >= 0) & (array <= 255) & (array == array.round())).all():
        raise ScanError(f"{path}: is no mask: its values are not whole numbers from 0 to 255; round or threshold it.")
    try:
        return from_array(array.astype("uint8") if mask else array, scan.affine.numpy())
    except ValueError as error:
        raise ScanError(f"{path}: {error}") from None

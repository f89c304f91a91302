"""A dictionary transform that finds the brain mask that a person gives of each subject."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.transforms import Transform

from hrcam_monai.data.subject_file import see_place, subject_file

__all__ = ["GIVEN", "FindBrainMaskd"]

GIVEN = "given_brain"  # key of an item: the mask, or its path


class FindBrainMaskd(Transform):
    """Name each subject's brain mask, for `LoadMaskd` to read and `StripBraind` to use.

    Args:
        place: a folder, or a pattern such as masks/{subject}*_mask.nii.gz (`hrcam_monai.data.subject_file`); None names none.

    Raises:
        ManifestError: no such folder.
        ValueError: of a subject there is no mask, or several.

    Example:
        >>> FindBrainMaskd("masks")({"subject": "sub-01"})  # doctest: +SKIP
        {'subject': 'sub-01', 'given_brain': 'masks/sub-01_brain.nii.gz'}
    """

    def __init__(self, place: str | Path | None = None) -> None:
        self.place = None if place is None else str(place)
        if self.place is not None:
            see_place(self.place, "brain_masks")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.place is None:
            return dict(data)
        subject = str(data["subject"])
        path = subject_file(self.place, subject, "brain_masks")
        if path is None:
            raise ValueError(f"brain_masks: {self.place} has no file of {subject}; make one, or leave the subject out.")
        return {**data, GIVEN: str(path)}

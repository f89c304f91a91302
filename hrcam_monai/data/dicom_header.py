"""What a DICOM header tells: a description without the patient's name, and the slices of its file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["IDENTIFYING", "Frame", "blotted", "frames_of"]

IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber", "StudyID")


def blotted(text: str, header: Any) -> str:
    """A description without words of the patient's name, numbers and dates, which operators sometimes type into it."""
    for tag in IDENTIFYING:
        for word in re.split(r"[\s^=,\\]+", str(header.get(tag, ""))):
            if len(word) > 2:
                text = re.sub(re.escape(word), "***", text, flags=re.IGNORECASE)
    return re.sub(r"(19|20)\d{2}[-./]?[01]\d[-./]?[0-3]\d", "***", text)


@dataclass(frozen=True)
class Frame:
    """One slice of a file."""

    position: Any
    orientation: Any
    pixel: tuple[float, ...]  # distance of rows, of columns
    scale: tuple[float, float]  # rescale slope and intercept


def frames_of(header: Any) -> list[Frame]:
    """The slices of a file: one, or those of a multi-frame file."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]

    def find(frame: Any, group: str, field: str) -> Any:
        for holder in (frame, shared[0]):
            if group in holder:
                return holder[group].value[0].get(field)
        return header.get(field)

    def scale(frame: Any, field: str, default: float) -> float:
        return float(find(frame, "PixelValueTransformationSequence", field) or default)

    def read(frame: Any) -> Frame:
        return Frame(
            find(frame, "PlanePositionSequence", "ImagePositionPatient"),
            find(frame, "PlaneOrientationSequence", "ImageOrientationPatient"),
            tuple(float(v) for v in find(frame, "PixelMeasuresSequence", "PixelSpacing") or ()),
            (scale(frame, "RescaleSlope", 1), scale(frame, "RescaleIntercept", 0)),
        )

    return [read(f) for f in header.get("PerFrameFunctionalGroupsSequence") or [{}]]

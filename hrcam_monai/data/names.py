"""What subjects and classes may be called."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

__all__ = ["UNNAMEABLE", "alike_names", "names_files"]

UNNAMEABLE = "cannot name a file; use letters, digits, '_', '-' and '.'"


def names_files(subject: str) -> bool:
    """Whether a subject's name can name the files that are made of it.

    Example:
        >>> names_files("sub-01"), names_files("../sub-01")
        (True, False)
    """
    return bool(re.fullmatch(r"\w[\w .-]*", subject))


def alike_names(names: Iterable[str]) -> str:
    """Two names of classes that mean one: they differ in case, in space or in how a number is written. Empty where none do.

    Example:
        >>> alike_names(["control", "Patient", "patient"]), alike_names(["1", "1.0"]), alike_names(["1", "2"])
        ("'Patient' and 'patient' mean the same", "'1' and '1.0' mean the same", '')
    """
    seen: dict[str, str] = {}
    for name in names:
        text = " ".join(name.split()).casefold()
        with contextlib.suppress(ValueError):  # names that are numbers
            text = str(float(text))
        if text in seen:
            return f"'{seen[text]}' and '{name}' mean the same"
        seen[text] = name
    return ""

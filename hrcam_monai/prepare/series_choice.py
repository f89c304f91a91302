"""Which of a subject's DICOM series to use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hrcam_monai.data.dicom_series import Series
from hrcam_monai.data.scan_error import ScanError

__all__ = ["choose_series"]


def choose_series(found: Sequence[Series], pattern: str | None = None) -> tuple[Series, str | None]:
    """The one series to use: MR, named by the pattern, no localiser and not derived, of most slices.

    A localiser or a derived series is taken when the pattern names nothing else: many scanners mark good images as derived.

    Args:
        found: series of one subject.
        pattern: regular expression, found anywhere in the description or the protocol's name, in any case.

    Returns:
        the series; and a remark, if it is one that would be left out without the pattern.

    Raises:
        ScanError: none fits, or several fit equally well.
    """
    there = Counter(s.name + (f", {s.left_out_as()}" if s.left_out_as() else "") for s in found)
    listing = "; ".join(f"{name}{f' x {n}' if n > 1 else ''}" for name, n in sorted(there.items()))
    fits = [s for s in found if s.modality == "MR" and s.slices]
    if pattern is not None:
        fits = [s for s in fits if any(re.search(pattern, text, re.IGNORECASE) for text in (s.description, s.protocol))]
    plain = [s for s in fits if not s.left_out_as()]
    remark = None
    if not plain and fits and pattern is not None:
        plain, remark = fits, f"takes {{}}, marked as {fits[0].left_out_as()}, since --series names it"
    if not plain:
        rule = f"no MR series matches --series '{pattern}'" if pattern is not None else "no MR series is a volume of its own"
        raise ScanError(f"{rule}; there are: {listing}; name the one to use with --series.")
    most = max(s.slices for s in plain)
    best = [s for s in plain if s.slices == most]
    if len(best) > 1:
        names = ", ".join(sorted(s.name for s in best))
        raise ScanError(
            f"{len(best)} series fit equally well: {names}; narrow --series to one, or move the others out of the folder."
        )
    return best[0], remark.format(best[0].name) if remark else None

"""The JSON file that `prepare` lays beside each scan: where it comes from, and what was done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FOLDERS", "TOOL", "prepared_with", "read_sidecar"]

TOOL = "hrcam_monai prepare"
# of what `prepare` writes, by the manifest's keys; the brain that it has cut out, which a manifest does not name
FOLDERS = {"image": "images", "mask": "masks", "regions": "regions", "brain": "brains"}


def prepared_with(scan: Path) -> dict[str, Any]:
    """What `prepare` found of a scan beside its image, by the manifest's keys: `roi`, and the file of its `regions`."""
    record = read_sidecar(scan)
    found = {"roi": record["roi"]} if record.get("roi") else {}
    regions = scan.parent.parent / FOLDERS["regions"] / scan.name
    return found | ({"regions": str(regions)} if "regions" in record.get("outputs", {}) and regions.is_file() else {})


def read_sidecar(scan: str | Path) -> dict[str, Any]:
    """What the sidecar of a NIfTI scan says; nothing where there is none, or where another tool wrote it.

    Example:
        >>> read_sidecar("my_study/images/sub-01.nii.gz")["source"]  # doctest: +SKIP
        {'series': 'T1 post', 'slices': 176, 'files': 176}
    """
    path = Path(str(scan).removesuffix(".gz").removesuffix(".nii") + ".json")
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("tool") == TOOL else {}

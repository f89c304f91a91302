"""Settings as JSON can hold them, so that those of two runs can be told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrcam_monai.utils.files import file_hash

__all__ = ["fingerprint"]


def fingerprint(value: Any) -> Any:
    """A setting as JSON can hold it; a file by the hash of its content, an object by its class and plain attributes."""
    if isinstance(value, (str, Path)) and Path(value).is_file():
        return f"sha256:{file_hash(value)}"
    return json.loads(json.dumps(value, default=_described))


def _described(value: Any) -> Any:
    if not hasattr(value, "__dict__"):
        return str(value)
    told = {k: v for k, v in vars(value).items() if isinstance(v, str | int | float | list | tuple | None) or _ours(v)}
    return {"class": type(value).__qualname__} | told


def _ours(value: Any) -> bool:
    """Whether a transform's attribute is a transform that does its work."""
    return type(value).__module__.split(".")[0] in ("monai", "hrcam_monai") and hasattr(value, "__dict__")

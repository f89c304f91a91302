"""HR-CAM for MONAI: class activation maps from every resolution of a CNN."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrcam_monai.explanation import Explanation, explain
    from hrcam_monai.fit import fit_head
    from hrcam_monai.networks import HRCAMNet
    from hrcam_monai.visualize import HRCAM

__version__ = "0.1.0"
__all__ = ["HRCAM", "Explanation", "HRCAMNet", "explain", "fit_head"]
_HOMES = {"HRCAM": "visualize", "Explanation": "explanation", "HRCAMNet": "networks", "explain": "explanation", "fit_head": "fit"}


def __getattr__(name: str) -> Any:
    """What is public here, imported when it is asked for: the command line would wait seconds for what it does not use."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""HR-CAM for MONAI: class activation maps from every resolution of a CNN."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrcam_monai.fit import fit_head
    from hrcam_monai.networks import HRCAMNet
    from hrcam_monai.visualize import HRCAM
    from hrcam_monai.workflows.explanation import Explanation, explain

__version__ = "0.1.0"
__all__ = ["HRCAM", "Explanation", "HRCAMNet", "explain", "fit_head"]
_HOMES = {
    "HRCAM": "visualize",
    "Explanation": "workflows.explanation",
    "HRCAMNet": "networks",
    "explain": "workflows.explanation",
    "fit_head": "fit",
}
_MOVED = {  # modules that `_target_` of published configs still names
    "command_line": "workflows.command_line",
    "distributed": "utils.distributed",
    "evaluation": "handlers.evaluation",
    "model_settings": "workflows.model_settings",
    "monai_label": "transforms.monai_label",
    "predictions": "handlers.predictions",
    "regions": "transforms.regions",
    "resampling": "transforms.resampling",
    "resuming": "engines.resuming",
    "saving": "transforms.saving",
}


def __getattr__(name: str) -> Any:
    """What is public here, imported when it is asked for: the command line would wait seconds for what it does not use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MOVED:
        return import_module(f"{__name__}.{_MOVED[name]}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

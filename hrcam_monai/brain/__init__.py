"""Whole heads: is the brain cut out already, and if not, where is it?"""

from hrcam_monai.brain.extraction import USUAL_TOOL, NoBrainError, brain_mask, check_tool
from hrcam_monai.brain.given import FindBrainMaskd
from hrcam_monai.brain.strip import HEAD, STRIP, StripBraind, WithinBraind
from hrcam_monai.brain.stripped import litres, stripped_brain, voxel_mm3

__all__ = [
    "HEAD",
    "STRIP",
    "USUAL_TOOL",
    "FindBrainMaskd",
    "NoBrainError",
    "StripBraind",
    "WithinBraind",
    "brain_mask",
    "check_tool",
    "litres",
    "stripped_brain",
    "voxel_mm3",
]

"""HR-CAM for a classifier that is trained already."""

from hrcam_monai.fit.head import fit_head

__all__ = ["fit_head"]

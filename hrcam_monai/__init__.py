"""HR-CAM for MONAI: class activation maps from every resolution of a CNN."""

__version__ = "0.1.0"

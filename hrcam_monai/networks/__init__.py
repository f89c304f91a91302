"""Networks of HR-CAM."""

from hrcam_monai.networks.efficientnet_lite import EfficientNetLite, imagenet_weights
from hrcam_monai.networks.exported import ExportableHRCAMNet, load_exported
from hrcam_monai.networks.hrcam_net import HRCAMNet
from hrcam_monai.networks.level_head import LevelHead, pool_maps
from hrcam_monai.networks.stage_cnn import StageCNN
from hrcam_monai.networks.tap import Tap, TapError
from hrcam_monai.networks.taps import find_taps, locate_taps

__all__ = [
    "EfficientNetLite",
    "ExportableHRCAMNet",
    "HRCAMNet",
    "LevelHead",
    "StageCNN",
    "Tap",
    "TapError",
    "find_taps",
    "imagenet_weights",
    "load_exported",
    "locate_taps",
    "pool_maps",
]

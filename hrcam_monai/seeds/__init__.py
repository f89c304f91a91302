"""Seeds: what a trained classifier's own maps say of its training images, sharpened, teaches class maps where to look."""

from hrcam_monai.seeds.agreement import agreement
from hrcam_monai.seeds.handler import SeedHandler
from hrcam_monai.seeds.layer_cam import layer_cam
from hrcam_monai.seeds.novelty import novelty

__all__ = ["SeedHandler", "agreement", "layer_cam", "novelty"]

"""Seeds: what a trained classifier's own maps say of its training images, sharpened, teaches class maps where to look."""

from hrcam_monai.seeds.agreement import agreement
from hrcam_monai.seeds.batches import BatchSeeds
from hrcam_monai.seeds.handler import SeedHandler
from hrcam_monai.seeds.layer_cam import layer_cam
from hrcam_monai.seeds.novelty import novelty
from hrcam_monai.seeds.own_maps import own_maps
from hrcam_monai.seeds.rounds import one_cycle_a_round

__all__ = ["BatchSeeds", "SeedHandler", "agreement", "layer_cam", "novelty", "one_cycle_a_round", "own_maps"]

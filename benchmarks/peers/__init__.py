"""Networks to compare with on real tumours, one file each: what they are, what they learn from, and their maps."""

from __future__ import annotations

from peers.ame_cam import AMECAM
from peers.classifiers import PlainDenseNet121, PlainEfficientNetB0
from peers.gp_unet import GPUNet, GPUNetFromMeans
from peers.peer import Peer, Stage
from peers.unet import MaskUNet

__all__ = ["PEERS", "Peer", "Stage"]

PEERS: dict[str, type[Peer]] = {
    "unet": MaskUNet,
    "gp_unet": GPUNet,
    "gp_unet_from_means": GPUNetFromMeans,
    "ame_cam": AMECAM,
    "efficientnet_b0": PlainEfficientNetB0,
    "densenet121": PlainDenseNet121,
}

"""Well-known classifiers of MONAI, trained plainly, and the maps that libraries make of them."""

from __future__ import annotations

import copy
from abc import abstractmethod

from monai.networks.nets import DenseNet121, EfficientNetBN
from torch import Tensor, nn

from hrcam_monai.compare.maps import tapped_layers
from hrcam_monai.compare.peers import PEERS, MapFunction
from peers.peer import Peer, Stage

METHODS = ("MONAI Grad-CAM", "TorchCAM LayerCAM")


class PlainClassifier(Peer):
    """A classifier, its Grad-CAM at the last level, and LayerCAM at the last activation of each resolution."""

    method = "TorchCAM LayerCAM, mean"

    def __init__(self, classes: int, reference: int | None) -> None:
        super().__init__(classes, reference)
        self.network = self.made(classes)
        self.readers: list[MapFunction] = []  # of a copy, which keeps the hooks

    @abstractmethod
    def made(self, classes: int) -> nn.Module:
        """The classifier, its weights drawn anew."""

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).float()

    def stages(self) -> list[Stage]:
        return [Stage(self.network, self.label_loss, epochs=10, lr=0.001)]

    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        """Of the network as it is at the first call."""
        if not self.readers:
            for method in METHODS:
                network = copy.deepcopy(self.network).eval()
                self.readers.append(PEERS[method].make(network, tapped_layers(network, x.shape[1:])))
        return {name: heat.to(x) for read in self.readers for name, heat in read(x, label).items()}


class PlainDenseNet121(PlainClassifier):
    """Huang et al., CVPR 2017."""

    title = "DenseNet121"

    def made(self, classes: int) -> nn.Module:
        return DenseNet121(spatial_dims=2, in_channels=1, out_channels=classes)


class PlainEfficientNetB0(PlainClassifier):
    """Tan and Le, ICML 2019."""

    title = "EfficientNet-B0"
    bfloat16 = False  # depth-wise convolutions take twice the time in it

    def made(self, classes: int) -> nn.Module:
        return EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=1, num_classes=classes)

"""GP-UNet: a U-Net whose output is one map a class, pooled to the logits (Chatterjee et al., arXiv 2206.05148).

Rebuilt from the paper. After the last 1 x 1 convolution the maximum of each class's map is its logit; image labels alone
teach it, and the map is the explanation. Unlike in the paper: width and epochs as ours, slices of 96 x 96 pixels, one contrast.
A maximum teaches one pixel of an image at a time, and in so few epochs little is learnt, so that a second one, as ours, begins
with means.
"""

from __future__ import annotations

import torch.nn.functional as F
from monai.networks.nets import BasicUNet
from torch import Tensor

from peers.peer import Peer, Stage
from peers.unet import STYLE, WIDTHS


class GPUNet(Peer):
    """A U-Net under global max pooling.

    Example:
        >>> import torch
        >>> net, x = GPUNet(2, 0).eval(), torch.rand(1, 1, 32, 32)
        >>> bool(torch.equal(net.class_maps(x).amax((2, 3)), net(x)))
        True
    """

    title = "GP-UNet"
    method = "GP-UNet"

    def __init__(self, classes: int, reference: int | None, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(classes, reference)
        self.network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=classes, features=widths, **STYLE)

    def class_maps(self, x: Tensor) -> Tensor:
        """[B, classes, X, Y]; the class that is no finding has a map, too, as "healthy" has in the paper."""
        return self.network(x).float()

    def forward(self, x: Tensor) -> Tensor:
        return self.class_maps(x).amax(dim=(2, 3))

    def stages(self) -> list[Stage]:
        return [Stage(self.network, self.label_loss, epochs=10, lr=0.003)]

    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        """The class's map, as in the paper, and what it has above the other classes' mean: softmax sees differences alone."""
        found = self.class_maps(x)
        own = found[:, [label]]
        others = (found.sum(dim=1, keepdim=True) - own) / (self.classes - 1)
        return {self.method: own, f"{self.method}, less the other classes": own - others}


class GPUNetFromMeans(GPUNet):
    """The same network, first trained with the mean of each map as its logit; then the maximum, which it is read by."""

    title = "GP-UNet, begun with means"

    def stages(self) -> list[Stage]:
        return [
            Stage(self.network, self.mean_loss, epochs=8, lr=0.003),
            Stage(self.network, self.label_loss, epochs=6, lr=0.002),
        ]

    def mean_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Cross entropy of the image's label, as global average pooling tells it."""
        return F.cross_entropy(self.class_maps(x).mean(dim=(2, 3)), label)

"""The ceiling: a U-Net of about our width that is told every pixel of the training people's masks."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor

from peers.peer import Peer, Stage

WIDTHS = (12, 24, 32, 48, 64, 12)  # of our plain CNN on the way down
STYLE = {
    "act": ("RELU", {"inplace": True}),
    "norm": ("BATCH", {"affine": True}),
}  # as ours; MONAI's default normalises each image


class MaskUNet(Peer):
    """MONAI's BasicUNet, trained by Dice and cross entropy on background and findings. It alone reads masks.

    Example:
        >>> MaskUNet(3, None)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 3])
    """

    title = "U-Net, trained with masks"
    method = "U-Net, probability of the class"
    reads_masks = True

    def __init__(self, classes: int, reference: int | None, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(classes, reference)
        self.network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1 + self.findings, features=widths, **STYLE)
        self.dice_and_ce = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def pixels(self, x: Tensor) -> Tensor:
        """Logits of background and findings, [B, 1 + findings, X, Y]."""
        return self.network(x).float()

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of a finding is that of its most likely pixel."""
        pixels = self.pixels(x)
        others = [[k for k in range(pixels.shape[1]) if k != i] for i in range(1, pixels.shape[1])]
        odds = [pixels[:, i] - pixels[:, rest].logsumexp(dim=1) for i, rest in enumerate(others, 1)]
        return self.with_reference(torch.stack(odds, dim=1).amax(dim=(2, 3)))

    def stages(self) -> list[Stage]:
        return [Stage(self.network, self.pixel_loss, epochs=8, lr=0.003)]

    def pixel_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Dice and cross entropy, every pixel of the mask being of the image's class."""
        assert masks is not None
        channel = label + (self.reference is None)
        return self.dice_and_ce(self.pixels(x), (masks > 0.5) * channel[:, None, None, None])

    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        pixels = self.pixels(x).softmax(dim=1)
        found = {self.method: pixels[:, [1 + self.finding(label)]]}
        return found | ({"U-Net, probability of any tumour": 1 - pixels[:, :1]} if self.findings > 1 else {})

"""AME-CAM: one classifier at each resolution, their maps merged by attention (Chen et al., MICCAI 2023, arXiv 2306.14505).

Rebuilt from the paper. A ResNet-18 has an exit after each of its four stages: a 1 x 1 convolution to one map a finding, whose
mean is the exit's log-odds. When the exits are trained they stay as they are, and a small network learns how much each exit
counts at each pixel: seen through the merged map, tumours of different images shall be alike, and so shall what lies outside
of them, and the two unlike (the contrast of C2AM, Xie et al., CVPR 2022). Unlike in the paper: half its width and no stride in
the first convolution, since images are 96 x 96 and not 240 x 240; batch normalisation; weights drawn anew, not learnt by SimCLR.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import Tensor, nn

from peers.peer import Peer, Stage

WIDTHS = (32, 64, 128, 256)
EXIT_WEIGHTS = (0.25, 0.5, 0.75, 1.0)  # of the exits' losses, as the authors set them
HIDDEN = 32  # channels of the attention module
RANK_DECAY = 0.25  # C2AM's alpha: how fast pairs that are less alike count less
EPS = 1e-4


def scaled(x: Tensor) -> Tensor:
    """Each image of each channel to [0, 1]."""
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-6)


def likeness(a: Tensor, b: Tensor) -> Tensor:
    """Cosines between the rows, [N, M] of [N, D] and [M, D], within (0, 1)."""
    with torch.autocast("cpu", enabled=False):  # cosines near 1 need more digits than bfloat16 has
        return (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).clamp(EPS, 1 - EPS)


def pull(x: Tensor) -> Tensor:
    """Minus the logarithm of how alike the rows are, those most alike already counting most (C2AM, equation 6)."""
    apart = ~torch.eye(len(x), dtype=torch.bool)
    alike = likeness(x, x)[apart].reshape(len(x), -1)
    rank = alike.argsort(dim=1, descending=True).argsort(dim=1)
    return -(torch.exp(-RANK_DECAY * rank) * alike.log()).mean()


def push(a: Tensor, b: Tensor) -> Tensor:
    """Minus the logarithm of how unlike the rows of the two are (C2AM, equation 4)."""
    return -(1 - likeness(a, b)).log().mean()


class AMECAM(Peer):
    """ResNet-18 with four exits, and the attention module that merges their maps.

    Example:
        >>> net = AMECAM(2, 0)
        >>> net(torch.rand(2, 1, 32, 32)).shape, [m.shape[-1] for m in net.exit_maps(torch.rand(2, 1, 32, 32))]
        (torch.Size([2, 2]), [16, 8, 4, 2])
    """

    title = "AME-CAM"
    method = "AME-CAM"

    def __init__(self, classes: int, reference: int | None, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(classes, reference)
        encoder = ResNet(
            ResNetBlock, [2, 2, 2, 2], list(widths), spatial_dims=2, n_input_channels=1, conv1_t_size=7, conv1_t_stride=1
        )
        stem = nn.Sequential(encoder.conv1, encoder.bn1, encoder.act, encoder.maxpool)
        self.levels = nn.ModuleList([nn.Sequential(stem, encoder.layer1), encoder.layer2, encoder.layer3, encoder.layer4])
        self.exits = nn.ModuleList(nn.Conv2d(width, self.findings, kernel_size=1) for width in widths)
        inner = [Convolution(2, c, HIDDEN, act="RELU", norm="BATCH", adn_ordering="NA") for c in (len(widths), HIDDEN, HIDDEN)]
        self.attention = nn.Sequential(*inner, Convolution(2, HIDDEN, len(widths), conv_only=True))

    @property
    def classifier(self) -> nn.Module:
        """All but the attention module."""
        return nn.ModuleList([self.levels, self.exits])

    def exit_maps(self, x: Tensor) -> list[Tensor]:
        """Each exit's maps of the findings at its own resolution, fine to coarse."""
        found = []
        for level, exit_ in zip(self.levels, self.exits, strict=True):
            x = level(x)
            found.append(exit_(x).float())
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The deepest exit's."""
        return self.with_reference(self.exit_maps(x)[-1].mean(dim=(2, 3)))

    def stages(self) -> list[Stage]:
        exits = Stage(self.classifier, self.exit_loss, epochs=8, lr=0.002)
        return [exits, Stage(self.attention, self.contrast_loss, epochs=3, lr=0.002)]

    def exit_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Cross entropy of every exit."""
        scores = [self.with_reference(m.mean(dim=(2, 3))) for m in self.exit_maps(x)]
        return torch.stack([w * F.cross_entropy(s, label) for w, s in zip(EXIT_WEIGHTS, scores, strict=True)]).sum()

    def own_maps(self, x: Tensor, label: Tensor) -> Tensor:
        """The exits' maps of each image's own finding, on its grid and scaled to [0, 1]: [B, exits, X, Y]."""
        own = torch.arange(len(x)), self.finding(label)
        with torch.no_grad():
            found = [m[own][:, None] for m in self.exit_maps(x)]
        return torch.cat([scaled(F.interpolate(m, x.shape[2:], mode="bilinear", align_corners=False)) for m in found], dim=1)

    def merged(self, x: Tensor, maps: Tensor) -> Tensor:
        """Mean of the exits' maps, weighted pixel by pixel by what attention makes of the image seen through each of them."""
        return (self.attention(scaled(x) * maps).float().softmax(dim=1) * maps).sum(dim=1, keepdim=True)

    def contrast_loss(self, x: Tensor, label: Tensor, masks: Tensor | None) -> Tensor:
        """Over the images of the batch that have a finding."""
        self.classifier.eval()  # it stays as it is, its batch statistics too
        found = label != (-1 if self.reference is None else self.reference)
        x, label = x[found], label[found]
        if len(x) < 2:
            return 0 * sum(p.sum() for p in self.attention.parameters())
        merged = self.merged(x, self.own_maps(x, label))
        inside, outside = ((scaled(x) * m).flatten(1) for m in (merged, 1 - merged))
        return push(inside, outside) + pull(inside) + pull(outside)

    def maps(self, x: Tensor, label: int) -> dict[str, Tensor]:
        exits = self.own_maps(x, torch.full([len(x)], label))
        named = {f"{self.method}, exit {i}": exits[:, [i - 1]] for i in range(1, exits.shape[1] + 1)}
        return {self.method: self.merged(x, exits), f"{self.method}, mean of the exits": exits.mean(dim=1, keepdim=True)} | named

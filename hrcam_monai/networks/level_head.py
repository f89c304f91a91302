"""The mathematics of HR-CAM: pooled scores and class maps from the feature maps of every resolution.

Source: Shinde et al., MICCAI 2019 (arXiv 1909.12919). The paper up-samples every channel of every level to the input
grid and weighs them there. Up-sampling is linear and acts on each channel alone, so weighing first and up-sampling only
the K class maps gives the same numbers with memory O(K x voxels) instead of O(channels x voxels).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["POOLINGS", "LevelHead", "pool_maps", "pooling_to", "upsample", "upsample_by_axes", "upsampled_mean"]

POOLINGS = ("gap", "lse")
MEAN = "mean"  # the reference of classes that are all findings


def upsample(x: Tensor, size: list[int]) -> Tensor:
    """U_l: linear interpolation of [B, K, *] to the spatial `size` (voxel-centred, `align_corners=False`)."""
    if list(x.shape[2:]) == size:
        return x
    if not torch.jit.is_scripting():  # noqa: SIM102  # a condition of its own, else TorchScript compiles what is below
        if len(size) == 3 and x.device.type == "cpu" and x.dtype.itemsize >= 4 and not torch.compiler.is_compiling():
            return upsample_by_axes(x, size)
    if len(size) == 3:
        return F.interpolate(x, size=size, mode="trilinear", align_corners=False)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def upsample_by_axes(x: Tensor, size: list[int]) -> Tensor:
    """Trilinear interpolation of [B, K, D, H, W] as one matrix product an axis: on a CPU a tenth of PyTorch's time.

    Linear interpolation is separable, and an axis's matrix holds the up-sampled unit vectors. Full precision, under
    autocast too, which would have the products in bfloat16.
    """

    def matrix(n: int, m: int) -> Tensor:
        units = torch.eye(n, dtype=x.dtype).unsqueeze(0)
        return F.interpolate(units, size=[m], mode="linear", align_corners=False)[0]  # [n, m]

    depth, height, width = x.shape[2:]
    with torch.autocast("cpu", enabled=False):
        x = matrix(height, size[1]).t() @ (x @ matrix(width, size[2]))
        x = matrix(depth, size[0]).t() @ x.flatten(3)
    return x.unflatten(3, size[1:])


def upsampled_mean(x: Tensor, size: list[int]) -> Tensor:
    """mean(U x) over the grid of `size`, without making U x: [B, K, *] -> [B, K].

    The mean of a linear up-sampling is a separable weighted mean of its input; the weights are equal only at integer
    factors. An axis's weights are the mean, over the output positions, of the up-sampled unit vectors.
    """
    for axis in range(len(size)):
        n = x.shape[2]
        if size[axis] % n == 0:
            x = x.mean(dim=2)
        else:
            units = torch.eye(n, dtype=x.dtype, device=x.device).unsqueeze(0)
            weights = F.interpolate(units, size=[size[axis]], mode="linear", align_corners=False).mean(dim=2)[0]
            x = torch.tensordot(x, weights, dims=[[2], [0]])
    return x


def pool_maps(maps: Tensor, pooling: str, sharpness: float = 10.0) -> Tensor:
    """Class maps to class scores: [B, K, *spatial] -> [B, K].

    `gap` is the mean (the paper). `lse` is (1/r) log mean exp(r M), which lies between the mean (r to 0) and the
    maximum (r to infinity); r is `sharpness`.

    Example:
        >>> pool_maps(torch.zeros(1, 2, 4, 4), "lse")
        tensor([[0., 0.]])
    """
    flat = maps.flatten(2)
    if pooling == "gap":
        return flat.mean(dim=2)
    count = torch.full([], flat.shape[2], dtype=torch.float32, device=flat.device)  # a tensor, so that an export keeps it
    return (torch.logsumexp(flat * sharpness, dim=2) - torch.log(count)) / sharpness


def pooling_to(scores: Tensor, maps: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Class maps [B, K, *spatial], each shifted as a whole, so that they pool to these scores [B, K].

    Example:
        >>> pooling_to(torch.tensor([[3.0]]), torch.tensor([[[0.0, 2.0]]]), lambda maps: pool_maps(maps, "gap"))
        tensor([[[2., 4.]]])
    """
    shift = scores - pool(maps)
    return maps + shift.view(*shift.shape, *[1] * (maps.ndim - 2))


class LevelHead(nn.Module):
    """Class maps M_k = b_k + sum_l U_l(sum_c W_klc F_lc), and the score of each class, pool(M_k).

    Sums are done in float32 at least, also for half precision features and under autocast, so that pool(maps) equals
    the logits to float32 precision always.

    Args:
        in_channels: channels of each level's feature map.
        num_classes: K.
        pooling: `gap` (the paper) or `lse`.
        sharpness: r of `lse`; not used by `gap`.
        reference: what the maps are evidence against. The index of a class: its map is zero everywhere. "mean": of all
            classes, so that the maps add up to zero at every voxel; for classes that are all findings. None gives every
            class a map of its own, as in the paper: the softmax sees differences alone, so a two-class network may just
            as well mark a lesion by a dip in the map of "normal" and leave the map of "abnormal" empty.

    Raises:
        ValueError: no level, an unknown pooling, a sharpness that is not positive, or a reference that is none of these.

    Example:
        >>> head = LevelHead([8, 16], num_classes=2)
        >>> features = [torch.rand(1, 8, 32, 32), torch.rand(1, 16, 8, 8)]
        >>> logits, maps = head.class_maps(features, [32, 32])
        >>> maps.shape
        torch.Size([1, 2, 32, 32])
    """

    if TYPE_CHECKING:  # TorchScript cannot read the annotation
        projection: Tensor

    def __init__(
        self,
        in_channels: list[int],
        num_classes: int,
        *,
        pooling: str = "gap",
        sharpness: float = 10.0,
        reference: int | str | None = None,
    ) -> None:
        super().__init__()
        if not in_channels:
            raise ValueError("LevelHead needs at least one level.")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is '{pooling}'; choose one of {', '.join(POOLINGS)}.")
        if sharpness <= 0:
            raise ValueError(f"sharpness is {sharpness}; it must be above 0.")
        if reference not in (None, MEAN, *range(num_classes)):
            raise ValueError(f"reference is {reference}; it must be None, '{MEAN}' or a class, 0 to {num_classes - 1}.")
        self.in_channels = list(in_channels)
        self.num_classes = num_classes
        self.reference = reference
        self.pooling = pooling
        self.sharpness = float(sharpness)
        # one linear layer over the concatenated levels, as in the paper
        self.weight = nn.Parameter(torch.empty(num_classes, sum(in_channels)))
        self.bias = nn.Parameter(torch.empty(num_classes))
        projection = torch.eye(num_classes)
        if reference == MEAN:
            projection -= 1 / num_classes
        elif isinstance(reference, int):
            projection[reference] = 0
        self.register_buffer("projection", projection, persistent=False)  # of the classes, onto what the reference leaves free
        self.reset_parameters()

    @torch.jit.unused
    def reset_parameters(self) -> None:
        """Draw the weights anew, as torch does for a linear layer."""
        linear = nn.Linear(self.weight.shape[1], self.num_classes)
        self.weight.data.copy_(linear.weight.data)
        self.bias.data.copy_(linear.bias.data)

    def project(self, x: Tensor) -> Tensor:
        """What the reference leaves of each class's weights or bias: [K, C] -> [K, C]."""
        return (self.projection.unsqueeze(2) * x.unsqueeze(0)).sum(1)  # no matmul, which autocast would do in half precision

    def native_maps(self, features: list[Tensor]) -> list[Tensor]:
        """Each level's class maps at its own resolution, without the bias: [B, C_l, *] -> [B, K, *]."""
        if len(features) != len(self.in_channels):
            raise ValueError(f"LevelHead has {len(self.in_channels)} levels, got {len(features)} feature maps.")
        return [self.weigh(i, features[i]) for i in range(len(self.in_channels))]

    def weigh(self, level: int, feature: Tensor) -> Tensor:
        """One level's class maps at its own resolution, without the bias: [B, C_l, *] -> [B, K, *]."""
        start = sum(self.in_channels[:level])
        dtype = torch.promote_types(torch.promote_types(feature.dtype, self.weight.dtype), torch.float32)
        # a slice of the whole: a product with weights that lie in one piece is exported for one batch size alone
        weight = self.project(self.weight)[:, start : start + self.in_channels[level]].to(dtype)
        values = feature.to(dtype).flatten(2)
        if torch.jit.is_scripting():  # autocast wants a constant device there, and does not reach scripted code
            flat = torch.matmul(weight, values)
        else:
            with torch.autocast(device_type=feature.device.type, enabled=False):
                flat = torch.matmul(weight, values)
        return flat.unflatten(2, feature.shape[2:])

    def forward(self, features: list[Tensor], size: list[int]) -> Tensor:
        """Logits [B, K] of an input of spatial `size`; `gap` needs no map for it."""
        return self.score_native(self.native_maps(features), size)

    def score_native(self, native: list[Tensor], size: list[int]) -> Tensor:
        """Logits [B, K] from each level's class maps at its own resolution."""
        if self.pooling == "gap":
            logits = self.project(self.bias.unsqueeze(1)).to(native[0].dtype).t()
            for level in native:
                logits = logits + upsampled_mean(level, size)
            return logits
        return self.maps_of_native(native, size)[0]

    def class_maps(self, features: list[Tensor], size: list[int]) -> tuple[Tensor, Tensor]:
        """Logits [B, K] and class maps [B, K, *size]; pool_maps(maps) equals the logits."""
        return self.maps_of_native(self.native_maps(features), size)

    def maps_of_native(self, native: list[Tensor], size: list[int]) -> tuple[Tensor, Tensor]:
        """Logits [B, K] and class maps [B, K, *size] from each level's class maps at its own resolution."""
        # up-sampling keeps a constant, so the bias is added where there are fewest values
        coarse = native[-1] + self.project(self.bias.unsqueeze(1)).to(native[-1].dtype).view([1, -1] + [1] * len(size))
        maps = upsample(coarse, size)
        for level in native[:-1]:
            maps.add_(upsample(level, size))  # in a tensor of its own, which no gradient needs as it was
        return pool_maps(maps, self.pooling, self.sharpness), maps

    def level_maps(self, features: list[Tensor], size: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Logits [B, K] and what each level adds, up-sampled to `size`; their sum plus the bias is the class map."""
        return self.levels_of_native(self.native_maps(features), size)

    def levels_of_native(self, native: list[Tensor], size: list[int]) -> tuple[Tensor, list[Tensor]]:
        """`level_maps` from each level's class maps at its own resolution."""
        return self.score_native(native, size), [upsample(level, size) for level in native]

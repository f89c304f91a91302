"""HR-CAM as a MONAI inferer: logits and class maps in one call, of images, or slice by slice of volumes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain, combinations
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import Tensor

from hrcam_monai.networks.edges import along_edges
from hrcam_monai.networks.level_head import POOLINGS, pool_maps, pooling_to
from hrcam_monai.networks.mixing import mix
from hrcam_monai.networks.scales import across_scales

__all__ = ["HRCAMInferer", "mirrored_axes"]

FLIPS = ("all", "random")


def mirrored_axes(flip_axes: Sequence[int]) -> list[list[int]]:
    """Every combination of flips, as the axes of a batch [B, C, *spatial] to flip together; the image as it is left out.

    Example:
        >>> mirrored_axes([0, 1])
        [[2], [3], [2, 3]]
    """
    axes = [a + 2 for a in flip_axes]
    return [list(c) for c in chain(*(combinations(axes, n + 1) for n in range(len(axes))))]


class HRCAMInferer(Inferer):
    """Run a network and return `{"logits": [B, K], "maps": [B, K, *spatial]}`, as plain tensors.

    The network is an `HRCAMNet`, or any module that returns (logits, maps). A plain classifier, which returns logits
    alone, gives `{"logits"}`.

    A 2-D network reads a volume slice by slice when `slice_axis` is given. The volume's score is then the slices'
    scores pooled by log-sum-exp over the slices, `(1/r) log mean exp(r z)`. With `pooling="lse"` that is the same as
    pooling over all voxels of the stacked map, so completeness holds for the volume as it does for a slice.

    Reading through flips averages the maps over mirrored inputs, mirrored back. It keeps completeness, costs one
    forward a flip, and removes the displacement of the map in networks trained so.

    Reading through slices smooths the stacked map along the slice axis: a finding goes on in the next slice, the noise
    of a network that sees one slice at a time does not. The score is pooled from the smoothed map, so it keeps
    completeness, too.

    Reading across scales averages the map with those of the enlarged image (`hrcam_monai.networks.scales`), in which small
    findings cover more of the coarse levels' cells. Reading along edges moves each map along the edges of the image it is of
    (`hrcam_monai.networks.edges`), so that it takes on the outlines of what it lies on. Both say better where; what is found
    stays what the network says of the image as it is: each class's map is shifted by a constant so that it pools to the same
    score, and completeness holds.

    Args:
        pooling: the network's pooling, `gap` or `lse`.
        sharpness: r, of `lse` and of the pooling over slices.
        slice_axis: spatial axis (0, 1 or 2) of the volume that a 2-D network runs along; None where the network takes
            the input whole.
        flip_axes: spatial axes of the input to mirror; none by default.
        flips: `all` reads every combination of the flips (inference); `random` reads the image and one flip of it
            drawn at random (training).
        slice_sigma: standard deviation of the Gaussian along `slice_axis`, slices; 0 leaves the slices' maps alone.
        mixing: scale of `hrcam_monai.networks.mixing.patches`, voxels; the result then holds also the maps of `mixed` images
            and what is `expected` of them, for `MapLoss` (training). None does not mix.
        slice_batch: slices a forward pass.
        edges: how often values move along edges; 0 leaves maps as the network draws them.
        neighbours: of each slice, that the network is shown with it (`NeighbourSlicesd`); edges are those of the slice itself.
        scales: further sizes that the image is read at, as factors of its own (of its slices', where it is sliced); none by
            default. Each costs a forward pass, the factor squared as long.

    Raises:
        ValueError: an unknown pooling, `flips` or axis, a negative `slice_sigma` or `edges`, a `slice_sigma` without
            `slice_axis`, or a scale that is no number from 0.25 to 4.

    Example:
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> net = HRCAMNet(StageCNN(), num_classes=2, pooling="lse").eval()
        >>> out = HRCAMInferer(slice_axis=2, flip_axes=[0])(torch.rand(1, 1, 32, 32, 5), net)
        >>> out["maps"].shape
        torch.Size([1, 2, 32, 32, 5])
    """

    def __init__(
        self,
        *,
        pooling: str = "lse",
        sharpness: float = 10.0,
        slice_axis: int | None = None,
        flip_axes: Sequence[int] = (),
        flips: str = "all",
        slice_batch: int = 64,
        slice_sigma: float = 0.0,
        mixing: float | None = None,
        edges: int = 0,
        neighbours: Sequence[int] = (),
        scales: Sequence[float] = (),
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is '{pooling}'; choose one of {', '.join(POOLINGS)}.")
        if flips not in FLIPS:
            raise ValueError(f"flips is '{flips}'; choose one of {', '.join(FLIPS)}.")
        if any(a not in (0, 1, 2) for a in flip_axes) or len(set(flip_axes)) < len(flip_axes):
            raise ValueError(f"flip_axes is {list(flip_axes)}; name each spatial axis (0, 1 or 2) once at most.")
        if slice_axis not in (None, 0, 1, 2):
            raise ValueError(f"slice_axis is {slice_axis}; it must be None or a spatial axis (0, 1 or 2).")
        if slice_sigma < 0 or (slice_sigma and slice_axis is None):
            raise ValueError(f"slice_sigma is {slice_sigma}; it must be 0, or above 0 with a slice_axis.")
        if not isinstance(edges, int) or edges < 0:
            raise ValueError(f"edges is {edges!r}; it must be a whole number, 0 or more.")
        if not isinstance(scales, Sequence) or not all(isinstance(s, int | float) and 0.25 <= s <= 4 for s in scales):
            raise ValueError(f"scales is {scales!r}; give a list of factors from 0.25 to 4, such as [1.25, 1.5].")
        self.pooling = pooling
        self.sharpness = sharpness
        self.edges = edges
        self.beside = len(neighbours)
        self.scales = list(scales)
        self.slice_axis = slice_axis
        self.slice_sigma = slice_sigma
        self.mixing = mixing
        self.flips = flips
        self.slice_batch = slice_batch
        self.keeps_own = False
        self.mirrors = mirrored_axes(flip_axes)

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """[B, C, *spatial] -> logits and class maps of the batch."""
        x = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        mirrors = self.mirrors
        if self.flips == "random" and mirrors:
            mirrors = [mirrors[int(torch.randint(len(mirrors), (1,)))]]
        logits, maps = self._read(x, network)
        if maps is None:
            return {"logits": logits}
        flipped = [maps, *self._mirrored(x, network, mirrors)]
        maps = self._mean(flipped)
        if mirrors or self.slice_sigma:
            logits = self._pool(maps)
        out = {"logits": logits, "maps": self._placed(maps, x, network, mirrors)}
        if self.keeps_own:
            alone = [m for m, axes in zip(flipped, [[], *mirrors], strict=True) if len(axes) < 2]
            out["own_maps"] = torch.stack(alone, 1)
        if self.mixing is not None:
            mixed, out["expected"] = mix(x, out["maps"], self.mixing)
            out["mixed"] = self._map(mixed, network)
        return out

    def of_own_map(self) -> HRCAMInferer:
        """The same reading, but of the network's own map: not through flips, slices or scales, or along edges."""
        plain = copy.copy(self)
        plain.mirrors, plain.slice_sigma, plain.edges, plain.scales, plain.keeps_own = [], 0.0, 0, [], False
        return plain

    def of_scores(self) -> HRCAMInferer:
        """The same reading without what says where alone, across scales and along edges: the same logits, sooner."""
        plain = copy.copy(self)
        plain.edges, plain.scales = 0, []
        return plain

    def keeping_own_maps(self) -> HRCAMInferer:
        """The same reading, which also tells what it is the mean of: `own_maps`, [B, 1 + axes, K, *spatial].

        The first is the network's own map of the image as it is, each other its own map of the image mirrored along one of
        `flip_axes`, mirrored back. `hrcam_monai.metrics.Displacement` measures on them without another forward pass.
        """
        keeping = copy.copy(self)
        keeping.keeps_own = True
        return keeping

    def _smooth(self, maps: Tensor) -> Tensor:
        """Maps smoothed along the slice axis; beyond the first and last slice they go on as they end."""
        kernel = gaussian_1d(torch.tensor(self.slice_sigma), approx="sampled", normalize=True).to(maps)
        kernels = [kernel if axis == self.slice_axis else torch.ones(1).to(maps) for axis in range(3)]
        return separable_filtering(maps, kernels, mode="replicate")

    def _read(self, x: Tensor, network: Callable[..., Any]) -> tuple[Tensor, Tensor | None]:
        """Logits and maps of the input as it is."""
        forward = getattr(network, "class_maps", network)
        if self.slice_axis is None:
            out = forward(x)
            return (out, None) if isinstance(out, Tensor) else out
        outs = [forward(part) for part in self._slices(x).split(self.slice_batch)]
        if isinstance(outs[0], Tensor):
            scores = torch.cat(outs).unflatten(0, (len(x), -1)).movedim(1, -1)
            return pool_maps(scores, "lse", self.sharpness), None
        maps = self._stacked([m for _, m in outs], len(x))
        return self._pool(maps), maps

    def _map(self, x: Tensor, network: Callable[..., Any]) -> Tensor:
        """The maps of the input as it is."""
        maps = self._read(x, network)[1]
        assert maps is not None  # a plain classifier, which has none, has been answered before
        return maps

    def _mirrored(self, x: Tensor, network: Callable[..., Any], mirrors: Sequence[list[int]]) -> list[Tensor]:
        """The maps of each mirrored input, mirrored back."""
        return [self._map(x.flip(axes), network).flip(axes) for axes in mirrors]

    def _mean(self, flipped: Sequence[Tensor]) -> Tensor:
        """The mean over flips, smoothed along the slices."""
        maps = sum(flipped[1:], flipped[0]) / len(flipped)
        return self._smooth(maps) if self.slice_sigma else maps

    def _placed(self, maps: Tensor, x: Tensor, network: Callable[..., Any], mirrors: Sequence[list[int]]) -> Tensor:
        """Maps read across scales and along edges, which say better where; they pool to what they pooled to before."""
        if not (self.scales or self.edges):
            return maps

        def read(y: Tensor) -> Tensor:
            return self._mean([self._map(y, network), *self._mirrored(y, network, mirrors)])

        found = across_scales(maps, x, read, self.scales, kept=self.slice_axis)
        if self.edges:
            found = self._along_edges(found, x)
        return pooling_to(self._pool(maps), found, self._pool)

    def _along_edges(self, maps: Tensor, x: Tensor) -> Tensor:
        """Maps moved along the edges of what the network sees at once."""
        if self.slice_axis is None:
            return along_edges(maps, x, self.edges, beside=self.beside)
        parts = zip(self._slices(maps).split(self.slice_batch), self._slices(x).split(self.slice_batch), strict=True)
        return self._stacked([along_edges(m, image, self.edges, beside=self.beside) for m, image in parts], len(x))

    def _slices(self, x: Tensor) -> Tensor:
        """[B, C, *spatial] -> [B * slices, C, *]."""
        assert self.slice_axis is not None
        return x.movedim(self.slice_axis + 2, 1).flatten(0, 1)

    def _stacked(self, slices: Sequence[Tensor], batch: int) -> Tensor:
        """What `_slices` took apart, in parts, as volumes again."""
        assert self.slice_axis is not None
        return torch.cat(list(slices)).unflatten(0, (batch, -1)).movedim(1, self.slice_axis + 2)

    def _pool(self, maps: Tensor) -> Tensor:
        """Class maps to logits: in each slice as the network does, then over the slices."""
        if self.slice_axis is None:
            return pool_maps(maps, self.pooling, self.sharpness)
        scores = pool_maps(self._slices(maps), self.pooling, self.sharpness).unflatten(0, (len(maps), -1))
        return pool_maps(scores.movedim(1, -1), "lse", self.sharpness)

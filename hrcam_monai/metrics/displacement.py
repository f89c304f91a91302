"""How far a map lies beside what it marks, measured without masks.

A detector that fires beside its target, always to the same side, moves the whole map. Mirroring the image, reading the
map and mirroring it back turns the side round: M(x) and flip(M(flip x)) then lie twice the displacement apart, and the
peak of their cross-correlation along that axis tells how far. Nothing need be known of where the target is. A map read
through flips is the mean of the two, so it is not moved, but doubled; measure the network's own map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hrcam_monai.metrics.cohort import summarize
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.networks.level_head import upsample
from hrcam_monai.networks.modes import evaluating

__all__ = ["Displacement", "displacement_warning", "level_reader", "map_shift"]

WARN_VOXELS = 1.0


def map_shift(heat: Tensor, mirrored: Tensor, dim: int, *, max_shift: float = 16.0) -> float:
    """Shift of a map along one of its axes, in voxels, positive towards higher indices.

    Args:
        heat: M(x), [*spatial].
        mirrored: flip(M(flip x)), [*spatial], the image flipped along `dim` and the map flipped back.
        dim: axis of the flip.
        max_shift: the largest shift looked for.

    Returns:
        half the lag at which the two correlate best, refined by a parabola; NaN for a constant map.

    Raises:
        ValueError: shapes differ.

    Example:
        >>> heat = torch.zeros(32, 32)
        >>> heat[20, 10] = 1  # the target is at 17: a shift of 3
        >>> mirrored = torch.zeros(32, 32)
        >>> mirrored[14, 10] = 1
        >>> map_shift(heat, mirrored, dim=0)
        3.0
    """
    if heat.shape != mirrored.shape:
        raise ValueError(f"maps are {tuple(heat.shape)} and {tuple(mirrored.shape)}; they must be on one grid.")
    u, v = (m.double().movedim(dim, -1).flatten(0, -2) for m in (heat, mirrored))
    u, v = u - u.mean(), v - v.mean()
    if not (u.any() and v.any()):
        return float("nan")
    size = u.shape[-1]
    reach = min(round(2 * max_shift), size - 1)
    spectrum = torch.fft.rfft(u, n=2 * size) * torch.fft.rfft(v, n=2 * size).conj()
    correlation = torch.fft.irfft(spectrum, n=2 * size).sum(0)
    correlation = correlation.roll(reach)[: 2 * reach + 1]  # lags -reach .. reach
    top = int(correlation.argmax())
    lag = float(top - reach)
    if 0 < top < 2 * reach:
        left, peak, right = correlation[top - 1 : top + 2].tolist()
        curve = left - 2 * peak + right
        lag += 0.5 * (left - right) / curve if curve < 0 else 0.0
    return round(lag / 2, 3)


def level_reader(network: HRCAMNet) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A network that gives its map and each level's share beside one another: channels [K of the map, K of level 1, ...].

    It can be run by `HRCAMInferer`, slice by slice of volumes too; of its logits only the first K mean anything.
    """

    def read(x: Tensor) -> tuple[Tensor, Tensor]:
        native, size = network.native_maps(x), list(x.shape[2:])
        logits, maps = network.head.maps_of_native(native, size)
        return logits, torch.cat([maps, *(upsample(level, size) for level in native)], 1)

    return read


class Displacement:
    """Displacement of an HRCAMNet's maps over a cohort, for the whole map and each level, along each axis.

    Args:
        inferer: how maps are read, without flips: `HRCAMInferer(..., flip_axes=())`.
        axes: spatial axes of the input to measure along; those that the network treats as equal under mirroring.
        spacing: of the grid, mm.
        max_subjects: of those seen; the rest are passed over.

    Example:
        >>> from hrcam_monai.inferers import HRCAMInferer
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> net = HRCAMNet(StageCNN(), num_classes=2).eval()
        >>> metric = Displacement(HRCAMInferer(), axes=[0, 1], spacing=(2, 2))
        >>> metric(torch.rand(1, 1, 32, 32), net, class_idx=1)
        >>> sorted(metric.aggregate())
        ['level1', 'level2', 'level3', 'level4', 'map']
    """

    def __init__(
        self,
        inferer: Callable[..., dict[str, Tensor]],
        *,
        axes: Sequence[int] = (0, 1),
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        max_subjects: int = 20,
    ) -> None:
        self.inferer = inferer
        self.axes = list(axes)
        self.spacing = spacing
        self.max_subjects = max_subjects
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.shifts: list[dict[str, list[float]]] = []

    def merge(self, placed: Sequence[tuple[int, dict[str, list[float]]]]) -> None:
        """Take the first `max_subjects` of what several processes have measured: (place in the cohort, shifts) each."""
        self.shifts = [row for _, row in sorted(placed, key=lambda pair: pair[0])][: self.max_subjects]

    def __call__(self, images: Tensor, network: HRCAMNet, class_idx: int | Sequence[int]) -> None:
        """Measure a batch [B, C, *spatial] on the maps of one class, or of one class each; in evaluation mode."""
        with evaluating(network):
            self._measure(images, network, class_idx)

    def of_maps(self, maps: Tensor) -> None:
        """Measure a subject on maps that are there already: no forward pass, and the whole map alone, not its levels.

        Args:
            maps: of one class, [1 + axes, *spatial]: of the image, and of the image mirrored along each of `axes`, mirrored
                back; see `HRCAMInferer.keeping_own_maps`.
        """
        if len(self.shifts) < self.max_subjects:
            straight, *mirrored = maps.float().cpu()
            moved = [map_shift(straight, one, axis) for axis, one in zip(self.axes, mirrored, strict=True)]
            self.shifts.append({"map": moved})

    def _measure(self, images: Tensor, network: HRCAMNet, class_idx: int | Sequence[int]) -> None:
        reader = level_reader(network)
        chosen = [class_idx] * len(images) if isinstance(class_idx, int) else list(class_idx)
        for image, k in zip(images, chosen, strict=True):
            if len(self.shifts) >= self.max_subjects:
                return
            x = image[None]
            straight = self._maps(x, reader, network, k)
            row: dict[str, list[float]] = {name: [] for name in straight}
            for axis in self.axes:
                for name, mirrored in self._maps(x.flip(axis + 2), reader, network, k).items():
                    row[name].append(map_shift(straight[name], mirrored.flip(axis), axis))
            self.shifts.append(row)

    def _maps(self, x: Tensor, reader: Callable[..., Any], network: Any, k: int) -> dict[str, Tensor]:
        stacked = self.inferer(x, reader)["maps"][0]
        maps = stacked.unflatten(0, (-1, network.head.num_classes))[:, k].float().cpu()
        return {"map": maps[0], **{f"level{i}": m for i, m in enumerate(maps[1:], 1)}}

    def aggregate(self) -> dict[str, Any]:
        """For the map and each level, by axis: mean signed shift in voxels with interval, in mm, mean absolute shift."""
        out: dict[str, Any] = {}
        for name in self.shifts[0] if self.shifts else ():
            out[name] = {}
            for i, axis in enumerate(self.axes):
                values = torch.tensor([row[name][i] for row in self.shifts], dtype=torch.float64)
                mean = summarize(values)
                out[name][f"axis{axis}"] = {
                    "voxels": mean.mean,
                    "ci95": [mean.low, mean.high],
                    "mm": mean.mean * float(self.spacing[axis]),
                    "mean_absolute_voxels": summarize(values.abs()).mean,
                    "subjects": mean.subjects,
                }
        return out


def displacement_warning(summary: Mapping[str, Any]) -> str:
    """One line if the whole map is displaced by more than a voxel along an axis; empty otherwise.

    Example:
        >>> displacement_warning({})
        ''
    """
    axes = summary.get("map", {})
    moved = {a: v for a, v in axes.items() if abs(v["voxels"]) > WARN_VOXELS}
    if not moved:
        return ""
    text = ", ".join(f"{v['voxels']:+.1f} voxels ({v['mm']:+.1f} mm) along {a}" for a, v in moved.items())
    return f"Maps are displaced: {text}. Train and read them through flips along that axis, or move them back."

"""Find where to tap a CNN: of each resolution, the feature map that the next one is computed from.

No tap may be overwritten later by an in-place operation: a tensor's `_version` tells.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from hrcam_monai.networks.dataflow import Dataflow, Node, trace
from hrcam_monai.networks.tap import Tap, TapError, parsed

__all__ = ["DEFAULT_SIZE", "Candidate", "candidates", "check_taps", "find_taps", "locate_taps"]

ACTIVATIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "rrelu", "prelu", "elu", "elu_", "selu", "celu", "gelu", "silu"),
    *("mish", "hardswish", "hardtanh", "hardtanh_", "softplus", "softsign", "tanh", "threshold"),
}
ACTIVATION_CLASSES = ("ReLU", "GELU", "SiLU", "Swish", "Mish")  # modules whose work is no torch function
CLAMPS = {"clamp", "clamp_", "clamp_min", "clamp_min_", "clip", "maximum"}  # activations where nothing negative is left
HANDED_ON = {"pad", "dropout", "dropout2d", "dropout3d", "contiguous", "clone"}  # what they put out is their input's
UNWATCHED = {"__setitem__", "__get__"}  # put out nothing that could be kept
DEFAULT_SIZE = 64  # side of the probe when no input shape is given


def _is_feature_map(x: object, spatial_dims: int) -> bool:
    """Whether x may be [B, C, *spatial] or [B, *spatial, C], with room in space: a 1x1 output is that of a squeeze or pooling."""
    return isinstance(x, Tensor) and x.ndim == spatial_dims + 2 and x.is_floating_point() and sorted(x.shape[1:])[-2] > 1


@dataclass(frozen=True)
class Candidate:
    """A feature map of a forward pass, which could be tapped if it has a name and is not overwritten."""

    node: Node
    names: tuple[str, ...]  # best first
    channels: int
    channels_last: bool
    strides: tuple[int, ...]  # by which power of two each axis is down-sampled

    @property
    def usable(self) -> bool:
        return bool(self.names) and not self.node.overwritten

    @property
    def activated(self) -> bool:
        """Whether an activation made it."""
        node = self.node
        positive = node.function in CLAMPS and bool((node.value >= 0).all() and (node.value > 0).any())
        return node.function in ACTIVATIONS or positive or node.function.endswith(ACTIVATION_CLASSES)

    def tap(self, name: str = "") -> Tap:
        return Tap(name or self.names[0], self.channels, self.channels_last)


def _names(node: Node, flow: Dataflow) -> tuple[str, ...]:
    """Names of a feature map: the outermost module that made it, then those within, those that hand it on, the function."""

    def numbered(name: str, call: int) -> str:
        return f"{name}@{call}" if flow.calls[name] > 1 else name

    name, call, function, inner = node.place
    around = sorted((p for p in node.outputs if f"{name}.".startswith(f"{p[0]}.")), key=lambda p: len(p[0]))
    modules = [numbered(*p) for p in (*around, *(p for p in node.outputs if p not in around)) if p[0]]
    if function in UNWATCHED or function[0].isupper():  # a class: made out of sight of functions
        return tuple(modules)
    return (*modules, f"{numbered(name, call)}:{function}" + (f"@{inner}" if inner > 1 else ""))


def _trace(backbone: nn.Module, shape: Sequence[int]) -> Dataflow:
    parameter = next(backbone.parameters(), torch.zeros(()))
    return trace(backbone, torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0)).to(parameter))


def candidates(backbone: nn.Module, input_shape: Sequence[int]) -> tuple[Dataflow, list[Candidate]]:
    """The dataflow of a probe through the backbone, and the feature maps in it that its output is computed from, in order.

    Whether the channels of a feature map come first or last is told by a second probe of another size, where it is not plain.

    Raises:
        TapError: the backbone cannot run on an input of this shape.
    """
    try:
        flow = _trace(backbone, input_shape)
    except Exception as error:
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)  # some bring a traceback of their own
        raise TapError(
            f"{type(backbone).__name__} cannot run on a probe of shape {list(input_shape)}: {told} "
            "Give input_shape=(1, channels, *spatial) of an image it was made for."
        ) from error
    size, dims = list(input_shape[2:]), len(input_shape) - 2

    @lru_cache(maxsize=1)
    def larger() -> dict[Any, tuple[int, ...]]:
        """Shapes of a larger probe's tensors by their places; none where the backbone takes one size alone."""
        try:
            return {n.place: n.shape for n in _trace(backbone, [*input_shape[:2], *(s * 3 // 2 for s in size)]).nodes}
        except Exception:
            return {}

    def is_last(node: Node) -> bool:
        first, last = (_strides(size, part) for part in (node.shape[2:], node.shape[1:-1]))
        if len(set(last)) > 1:
            return False
        other = larger().get(node.place)
        if other is None or len(other) != len(node.shape):
            return len(set(first)) > 1
        return other[-1] == node.shape[-1] and other[1] != node.shape[1]

    def grows(node: Node, spatial: Sequence[int]) -> bool:
        """Whether axes that are not down-sampled alike are the image's all the same: the windows of a transformer are not."""
        other = larger().get(node.place, ())
        return len(other) == len(node.shape) and all(abs(b - 1.5 * a) <= 2 for a, b in zip(spatial, other[2:], strict=True))

    found = []
    for node in flow.used[1:]:
        if _is_feature_map(node.value, dims) and len(node.value) == 1:
            last = is_last(node)
            spatial, channels = (node.shape[1:-1], node.shape[-1]) if last else (node.shape[2:], node.shape[1])
            strides = _strides(size, spatial)
            if max(spatial) > 1 and (len(set(strides)) == 1 or grows(node, spatial)):
                found.append(Candidate(node, _names(node, flow), channels, last, strides))
    return flow, found


def _strides(size: Sequence[int], own: Sequence[int]) -> tuple[int, ...]:
    """By which power of two each axis is down-sampled."""
    return tuple(round(math.log2(a / b)) for a, b in zip(size, own, strict=True))


def find_taps(backbone: nn.Module, input_shape: Sequence[int], modules: bool = False) -> list[str]:
    """Names of where to tap, fine to coarse; see `locate_taps`.

    With `modules`, only among modules that run once and put out [B, C, *spatial]: what other tools can hook.

    Example:
        >>> from monai.networks.nets import DenseNet121
        >>> find_taps(DenseNet121(2, 1, 2), (1, 1, 64, 64))[-1]
        'class_layers.relu'
    """
    return [tap.name for tap in locate_taps(backbone, input_shape, modules)]


def locate_taps(backbone: nn.Module, input_shape: Sequence[int], modules: bool = False) -> list[Tap]:
    """Where to tap, fine to coarse: of each resolution, the feature map that the next one is computed from.

    That is the last that all information passes through, or the activation that it is a mere weighting of. Where none is, as in
    parallel branches, it is the last activation of the resolution. Feature maps share a resolution when they are down-sampled
    by the same power of two along every axis.

    Args:
        backbone: any CNN that takes [B, C, *spatial].
        input_shape: (1, C, *spatial) of an image it can take.
        modules: only among modules that run once and put out [B, C, *spatial], which other tools can hook.

    Raises:
        TapError: the backbone cannot run on this shape, puts out no feature map, or decides by tokens (a ViT).

    Example:
        >>> locate_taps(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()), (1, 1, 16, 16))
        [Tap(name='1', channels=4, channels_last=False)]
    """
    flow, listed = candidates(backbone, input_shape)
    if modules:
        listed = [replace(c, names=c.names[:1]) for c in listed if c.names and c.tap().hookable]
    gates = set(flow.gates())
    levels = {}
    for strides in dict.fromkeys(c.strides for c in listed):
        group = [c for c in listed if c.strides == strides and c.node.function not in HANDED_ON]
        chosen = _of_level(group, gates)
        if chosen is not None:
            levels[strides] = chosen
        elif any(c.node in gates and c.node.learned for c in group):
            warnings.warn(
                f"No tap at {_sizes(group[-1])} of {list(input_shape[2:])}: no feature map there can be kept.", stacklevel=2
            )
    name = type(backbone).__name__
    if not levels:
        raise TapError(f"{name} puts out no {len(input_shape) - 2}-D feature map to tap.")
    ordered = [levels[key] for key in sorted(levels, key=sum)]
    if _decides_by_tokens(flow, ordered[-1]):
        raise TapError(
            f"{name} turns its feature maps into tokens, which pass through learned layers before the logit: no feature map says "
            "what it decides by. HR-CAM needs a CNN, or a transformer that keeps feature maps (Swin, MaxViT); to tap what there "
            f"is, give taps=[...] of: {_listing(listed)}."
        )
    return [c.tap() for c in ordered]


def _sizes(candidate: Candidate) -> list[int]:
    shape = candidate.node.shape
    return list(shape[1:-1] if candidate.channels_last else shape[2:])


def _of_level(group: Sequence[Candidate], gates: set[Node]) -> Candidate | None:
    """The one to tap among the feature maps of a resolution; none where padding or pooling alone made what it holds."""
    own = [c for c in group if c.node.learned or c.activated]
    passed = [c for c in group[group.index(own[0]) :] if c.node in gates and c.usable] if own else []
    if passed:
        by_node = {c.node: c for c in group}
        chosen = candidate = passed[-1]
        while not candidate.activated and len(candidate.node.sources) == 1 and candidate.node.kernel == 1:
            source = by_node.get(candidate.node.sources[0])
            if source is None:
                return chosen
            candidate = source
        return candidate if candidate.activated and candidate.usable else chosen
    activated = [c for c in own if c.activated and c.usable]
    convolved = [c for c in own if c.usable and (c.node.function.startswith("conv") or c.node.function.endswith("_norm"))]
    return next(iter((activated or convolved)[-1:]), None)


def _decides_by_tokens(flow: Dataflow, coarsest: Candidate) -> bool:
    """Whether each place of the coarsest feature map, or one token more, passes through learned layers on its own later."""
    places = math.prod(_sizes(coarsest))
    after = flow.used[flow.used.index(coarsest.node) + 1 :]
    tokens = [n for n in after if len(n.shape) == 3 and n.learned and {places, places + 1} & set(n.shape[1:])]
    return places > 1 and any(min(n.shape[1:]) > 1 for n in tokens)


def _listing(listed: Sequence[Candidate]) -> str:
    """Usable names; a function's only where no module puts the feature map out."""
    return ", ".join(dict.fromkeys(c.names[0] for c in listed if c.usable))


def check_taps(backbone: nn.Module, names: Sequence[str], input_shape: Sequence[int]) -> list[Tap]:
    """The taps of these names.

    Raises:
        TapError: a tap does not exist, is named twice, puts out no feature map, or is overwritten in place.
    """
    _, listed = candidates(backbone, input_shape)
    known: dict[str, Candidate] = {}
    for candidate in listed:
        for name in candidate.names:
            known[name] = candidate
            known[name.partition(":")[0].partition("@")[0] if ":" not in name else name] = candidate  # the last call
    modules = dict(backbone.named_modules())
    if not names:
        raise TapError(f"taps is empty; name at least one of: {_listing(listed)}.")
    for i, name in enumerate(names):
        if name in names[:i]:
            fault = "is named twice"
        elif name in known:
            if not known[name].node.overwritten:
                continue
            fault = "is overwritten later by an in-place operation"
        elif parsed(name)[0] not in modules:
            fault = "is no module of the backbone"
        else:
            fault = f"puts out no {len(input_shape) - 2}-D feature map"
        raise TapError(f"Tap '{name}' {fault}; choose among: {_listing(listed)}.")
    return [known[name].tap(name) for name in names]

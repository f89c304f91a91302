"""Find where to tap a CNN: the last post-activation feature map of each resolution.

A tap is the name of a module, as in `named_modules()`; its feature map is the last one that the module puts out in a
forward pass. No tap may be overwritten later by an in-place operation: a tensor's `_version` tells.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrcam_monai.networks.modes import evaluating

# modules of torch.nn.modules.activation that end no feature stage
NOT_ACTIVATIONS = (nn.MultiheadAttention, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Softmax, nn.Softmin, nn.LogSoftmax)
DEFAULT_SIZE = 64  # side of the probe when no input shape is given


class TapError(ValueError):
    """A tap that cannot be used; the message lists the ones that can."""


def is_feature_map(x: object, spatial_dims: int, channels: int | None = None) -> bool:
    """Whether x is a [B, C, *spatial] tensor of these channels.

    Where the channels are not known yet it must have room in space: a 1x1 output is that of a squeeze or global pooling.
    """
    if not isinstance(x, Tensor) or x.ndim != spatial_dims + 2 or not x.is_floating_point():
        return False
    return x.shape[1] == channels if channels is not None else max(x.shape[2:]) > 1


@contextmanager
def record(
    backbone: nn.Module,
    names: Iterable[str],
    spatial_dims: int,
    channels: Mapping[str, int] | None = None,
    read: Callable[[str, Tensor], Tensor] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """While open, the last feature map (of the given channels) that each named module puts out; closing removes the hooks.

    With `read`, what it makes of the name and feature map is kept in the feature map's place.
    """
    seen: dict[str, Tensor] = {}
    modules = dict(backbone.named_modules())

    def keep(name: str):
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if is_feature_map(output, spatial_dims, channels[name] if channels else None):
                seen.pop(name, None)  # so that the dictionary stays in the order of the last calls
                seen[name] = read(name, output) if read else output  # type: ignore[arg-type,assignment]

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Candidate:
    """A module whose output could be tapped."""

    name: str
    shape: tuple[int, ...]  # [C, *spatial]
    activated: bool
    learned: bool  # made by a module with parameters: not a padding or pooling
    overwritten: bool


def _ends_in_activation(producer: nn.Module, output: Tensor) -> bool:
    """By the innermost module that made the tensor: an activation, or a block that calls a functional ReLU."""
    kind = type(producer)
    if "Pool" in kind.__name__ or "Dropout" in kind.__name__ or isinstance(producer, NOT_ACTIVATIONS):
        return False
    if kind.__module__.endswith(".activation"):
        return True
    leaf = next(producer.children(), None) is None
    return not (leaf and kind.__module__.startswith("torch.nn")) and bool((output >= 0).all() and (output > 0).any())


def candidates(backbone: nn.Module, input_shape: Sequence[int]) -> list[Candidate]:
    """Run a probe through the backbone and list every module that puts out a feature map, in order of execution.

    Raises:
        TapError: the backbone cannot run on an input of this shape.
    """
    spatial_dims = len(input_shape) - 2
    modules = {name: module for name, module in backbone.named_modules() if name}
    parameter = next(backbone.parameters(), torch.zeros(()))
    probe = torch.rand(tuple(input_shape), generator=torch.Generator().manual_seed(0)).to(parameter)
    versions: dict[str, int] = {}
    producers: dict[int, tuple[nn.Module, int]] = {}  # of each tensor: who made it, and its version then
    alive: list[Tensor] = []  # keeps every output, so that an id is not given twice

    def note(name: str):
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            if is_feature_map(output, spatial_dims):
                # an in-place activation returns its input's tensor: the latest to change it made it what it is
                version = output._version  # type: ignore[attr-defined]
                leaf = next(module.children(), None) is None
                if leaf or producers.get(id(output), (module, -1))[1] != version:
                    producers[id(output)] = (module, version)
                alive.append(output)  # type: ignore[arg-type]
                versions[name] = version

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        with evaluating(backbone), record(backbone, modules, spatial_dims) as seen:
            backbone(probe)
    except Exception as error:
        shape = list(input_shape)
        raise TapError(
            f"{type(backbone).__name__} cannot run on a probe of shape {shape}: {error} "
            "Give input_shape=(1, channels, *spatial) of an image it was made for."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return [
        Candidate(
            name,
            tuple(output.shape[1:]),
            _ends_in_activation(producers[id(output)][0], output),
            next(producers[id(output)][0].parameters(), None) is not None,
            output._version != versions[name],
        )
        for name, output in seen.items()
    ]


def find_taps(backbone: nn.Module, input_shape: Sequence[int]) -> list[str]:
    """Names of the modules to tap, fine to coarse: the last post-activation feature map of each resolution.

    Feature maps share a resolution when they are down-sampled by the same power of two along every axis. Where several
    modules put out the very same tensor (a ReLU and the block it ends), the outermost is named.

    Args:
        backbone: any CNN that takes [B, C, *spatial].
        input_shape: (1, C, *spatial) of an image it can take.

    Raises:
        TapError: the backbone cannot run on this shape, or puts out no feature map.

    Example:
        >>> from monai.networks.nets import DenseNet121
        >>> find_taps(DenseNet121(2, 1, 2), (1, 1, 64, 64))[-1]
        'class_layers.relu'
    """
    listed = candidates(backbone, input_shape)
    found = [c for c in listed if not c.overwritten]
    levels: dict[tuple[int, ...], str] = {}
    # a resolution without any activation that we know still has its last learned feature map
    for candidate in [*(c for c in found if c.learned and not c.activated), *(c for c in found if c.activated)]:
        levels[_resolution(candidate, input_shape)] = candidate.name
    if not levels:
        raise TapError(f"{type(backbone).__name__} puts out no {len(input_shape) - 2}-D feature map to tap.")
    made = {_resolution(c, input_shape): str(list(c.shape[1:])) for c in listed if c.learned or c.activated}
    sizes = ", ".join(size for key, size in made.items() if key not in levels)
    if sizes:
        warnings.warn(f"No tap at {sizes} of {list(input_shape[2:])}: every feature map there is overwritten.", stacklevel=2)
    return [levels[key] for key in sorted(levels, key=sum)]


def _resolution(candidate: Candidate, input_shape: Sequence[int]) -> tuple[int, ...]:
    """By which power of two each axis is down-sampled."""
    return tuple(round(math.log2(a / b)) for a, b in zip(input_shape[2:], candidate.shape[1:], strict=True))


def check_taps(backbone: nn.Module, taps: Sequence[str], input_shape: Sequence[int]) -> list[int]:
    """Channels of each tap's feature map.

    Raises:
        TapError: a tap does not exist, is named twice, puts out no feature map, or is overwritten in place.
    """
    listed = candidates(backbone, input_shape)
    known = {c.name: c for c in listed}
    usable = ", ".join(c.name for c in listed if not c.overwritten)
    modules = dict(backbone.named_modules())
    if not taps:
        raise TapError(f"taps is empty; name at least one of: {usable}.")
    for i, tap in enumerate(taps):
        if tap not in modules:
            fault = "is no module of the backbone"
        elif tap in taps[:i]:
            fault = "is named twice"
        elif tap not in known:
            fault = f"puts out no {len(input_shape) - 2}-D feature map"
        elif known[tap].overwritten:
            fault = "is overwritten later by an in-place operation"
        else:
            continue
        raise TapError(f"Tap '{tap}' {fault}; choose among: {usable}.")
    return [known[tap].shape[0] for tap in taps]

"""A place in a CNN where a feature map is found: its name, and how to keep what it puts out in a forward pass.

A tap is named by who puts its feature map out in a forward pass:

- `layer1`: the module of this name, as in `named_modules()`;
- `relu@2`: a module's second call, where one module serves several stages;
- `stage:relu`, `stage:relu@2`: a function called in a module, by its first or second call there; `:relu` in the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from hrcam_monai.networks.dataflow import Watch

__all__ = ["Tap", "TapError", "parsed", "record"]


class TapError(ValueError):
    """A tap that cannot be used; the message lists the ones that can."""


@dataclass(frozen=True)
class Tap:
    """Where a feature map is found, and how it lies.

    Attributes:
        name: see above.
        channels: of its feature map.
        channels_last: whether the network puts it out as [B, *spatial, C], as ConvNeXt and Swin do.
    """

    name: str
    channels: int
    channels_last: bool = False

    @property
    def hookable(self) -> bool:
        """Whether it is all that a module puts out, as [B, C, *spatial]: what other tools can hook."""
        return not self.channels_last and not set(self.name) & set(":@")

    def channels_first(self, feature: Tensor) -> Tensor:
        """[B, C, *spatial], however the network has it."""
        return feature.movedim(-1, 1) if self.channels_last else feature


def parsed(name: str) -> tuple[str, int | None, str, int]:
    """(module, its call or None, function or "", its call) of a tap's name.

    Example:
        >>> parsed("stage@2:relu"), parsed("layer1")
        (('stage', 2, 'relu', 1), ('layer1', None, '', 1))
    """
    place, _, function = name.partition(":")
    module, _, call = place.partition("@")
    function, _, inner = function.partition("@")
    return module, int(call) if call.isdigit() else None, function, int(inner) if inner.isdigit() else 1


@contextmanager
def record(
    backbone: nn.Module, taps: Iterable[Tap], spatial_dims: int, read: Callable[[Tap, Tensor], Tensor] | None = None
) -> Iterator[dict[str, Tensor]]:
    """While open, the feature map of each tap, as the network puts it out; closing removes the hooks.

    Of a module that is called several times, the last feature map of the tap's channels is kept, unless the name has a number.

    Args:
        backbone: runs while this is open.
        taps: see `locate_taps`.
        spatial_dims: 2 or 3.
        read: what it makes of the tap and its feature map is kept in the feature map's place.
    """
    seen: dict[str, Tensor] = {}
    modules = dict(backbone.named_modules())
    handles = []

    def keep(tap: Tap, output: object) -> None:
        axis = -1 if tap.channels_last else 1
        if isinstance(output, Tensor) and output.ndim == spatial_dims + 2 and output.shape[axis] == tap.channels:
            seen[tap.name] = read(tap, output) if read else output

    def watch(tap: Tap) -> None:
        name, wanted, function, inner = parsed(tap.name)
        module, calls = modules[name], [0]
        open_: list[ExitStack] = []

        def enter(_module: nn.Module, _inputs: object) -> None:
            calls[0] += 1
            here = wanted in (None, calls[0])
            mode = Watch(function, lambda n, output: keep(tap, output) if here and n == inner else None)
            open_.append(ExitStack())
            open_[-1].enter_context(mode)

        def leave(_module: nn.Module, _inputs: object, output: object) -> None:
            if function:
                open_.pop().close()
            else:
                calls[0] += 1
                if wanted in (None, calls[0]):
                    keep(tap, output)

        if function:
            handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=bool(function)))

    for tap in taps:
        watch(tap)
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()

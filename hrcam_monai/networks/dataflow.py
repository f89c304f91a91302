"""The dataflow of one forward pass: every tensor that a network makes, what it was made from, and who made it.

Modules are not enough to read a network by: activations may be functions, one ReLU may serve all stages, a block may put out
something else than its last module did. So each torch function is noted as it is called, by its name and place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hrcam_monai.networks.modes import evaluating

__all__ = ["Dataflow", "Node", "Watch", "trace"]

ROOT = ""  # name of the network itself among its modules


@dataclass(eq=False)
class Node:
    """A tensor of a forward pass.

    Attributes:
        value: the tensor.
        version: of it, when it was made; an in-place operation makes another node of the same tensor.
        function: that made it, or the class of a module that did so unseen.
        sources: what it was made from; the network's own parameters are left out.
        learned: whether parameters took part.
        kernel: the largest side of a convolution's kernel; 1 otherwise.
        place: (module, its call, function, its call), counted from 1: where it was made.
        outputs: (module, its call) of those that put it out as it is, the innermost first.
    """

    value: Tensor
    version: int
    function: str
    sources: list[Node]
    learned: bool
    kernel: int
    place: tuple[str, int, str, int]
    outputs: list[tuple[str, int]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def overwritten(self) -> bool:
        """Whether a later operation changed the tensor in place."""
        return self.value._version != self.version


class _Recorder(TorchFunctionMode):
    """Notes the tensors of a forward pass, in the order in which they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.latest: dict[int, Node] = {}  # of each tensor by id; nodes keep tensors alive, so that no id is given twice
        self.inside: list[tuple[str, int, Counter[str]]] = []  # the modules that run now: name, call, calls of functions in it
        self.calls: Counter[str] = Counter()

    def known(self, values: Any) -> list[Node]:
        """Nodes of the tensors among the values."""
        return [self.latest[id(v)] for v in tree_leaves(values) if isinstance(v, Tensor) and id(v) in self.latest]

    def add(self, value: Tensor, function: str, sources: list[Node], learned: bool, kernel: int = 1) -> None:
        name, call, counts = self.inside[-1] if self.inside else (ROOT, 1, Counter())
        place = (name, call, function, counts[function])
        node = Node(value, value._version, function, sources, learned, kernel, place)
        self.nodes.append(node)
        self.latest[id(value)] = node

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        sources = self.known((args, kwargs))
        made = [v for v in tree_leaves(out) if isinstance(v, Tensor)]
        if name == "__setitem__":  # writes into its first argument and puts out nothing
            made = [args[0]]
        if made:
            for _, _, counts in self.inside:
                counts[name] += 1
        if sources:
            weights = [v for v in tree_leaves((args, kwargs)) if isinstance(v, nn.Parameter)]
            kernel = max((max(w.shape[2:], default=1) for w in weights), default=1) if name.startswith("conv") else 1
            for value in made:
                self.add(value, name, sources, bool(weights), kernel)
        return out

    def enter(self, name: str, inputs: Any) -> None:
        self.calls[name] += 1
        self.inside.append((name, self.calls[name], Counter()))

    def leave(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        _, call, _ = self.inside[-1]
        if isinstance(output, Tensor):
            if id(output) not in self.latest:  # made out of sight, as by an autograd.Function
                self.add(output, type(module).__name__, self.known(inputs), any(True for _ in module.parameters()))
            self.latest[id(output)].outputs.append((name, call))
        self.inside.pop()


RESHAPING = {"squeeze", "unsqueeze", "view", "reshape", "flatten", "__getitem__", "select", "contiguous", "float", "to"}


@dataclass(frozen=True)
class Dataflow:
    """What a forward pass made.

    Attributes:
        nodes: in order; the first is the input.
        used: those that the output was computed from, in order; all, where that cannot be told.
        ends: the tensors of the output.
        calls: how often each module ran.
    """

    nodes: list[Node]
    used: list[Node]
    ends: list[Node]
    calls: Counter[str]

    def last_function(self) -> str:
        """The function that the output ends in, reshaping aside: `linear` of logits, `sigmoid` or `softmax` of probabilities."""
        node = self.ends[-1] if self.ends else self.nodes[-1]
        while node.function in RESHAPING and len(node.sources) == 1:
            node = node.sources[0]
        return node.function

    def gates(self) -> list[Node]:
        """Used nodes that everything passes through on its way from the input to the output."""
        place = {node: i for i, node in enumerate(self.used)}
        covered = 0  # the furthest node that something before reaches past the ones in between
        reach = list(range(len(self.used)))
        for node in self.used:
            for source in node.sources:
                if source in place:
                    reach[place[source]] = max(reach[place[source]], place[node])
        found = []
        for i, node in enumerate(self.used):
            if covered <= i:
                found.append(node)
            covered = max(covered, reach[i])
        return found


def trace(network: nn.Module, probe: Tensor) -> Dataflow:
    """Run a probe through a network, in evaluation mode and without gradient, and note what it makes.

    Args:
        network: any module.
        probe: its input.

    Example:
        >>> import torch
        >>> flow = trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.rand(1, 1, 8, 8))
        >>> [node.function for node in flow.used]
        ['input', 'conv2d', 'relu']
    """
    recorder = _Recorder()
    recorder.add(probe, "input", [], False)
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda _, inputs, n=name: recorder.enter(n, inputs), prepend=True))
        handles.append(module.register_forward_hook(lambda m, inputs, output, n=name: recorder.leave(n, m, inputs, output)))
    try:
        with evaluating(network), recorder:
            output = network(probe)
    finally:
        for handle in handles:
            handle.remove()
    ends = recorder.known(_tensors(output))
    return Dataflow(recorder.nodes, _ancestors(recorder.nodes, ends), ends, recorder.calls)


def _tensors(output: Any) -> list[Tensor]:
    """The tensors of an output, an object's too."""
    leaves = tree_leaves(output)
    leaves += [
        v for leaf in leaves if hasattr(leaf, "__dict__") and not isinstance(leaf, Tensor) for v in tree_leaves(vars(leaf))
    ]
    return [v for v in leaves if isinstance(v, Tensor)]


def _ancestors(nodes: Sequence[Node], ends: Iterable[Node]) -> list[Node]:
    """The ends and all that they were made from, in order; all nodes where the input is not among them."""
    found: set[Node] = set()
    open_ = list(ends)
    while open_:
        node = open_.pop()
        if node not in found:
            found.add(node)
            open_ += node.sources
    from_input: set[Node] = {nodes[0]}
    for node in nodes[1:]:
        if any(source in from_input for source in node.sources):
            from_input.add(node)
    used = [n for n in nodes if n in found and n in from_input]
    return used if nodes[0] in found else list(nodes)


class Watch(TorchFunctionMode):
    """While open, hands what a function puts out to `keep`, with the number of its call; numbered as `Node.place` is.

    Args:
        function: its name.
        keep: called with the number, from 1, and the output.
    """

    def __init__(self, function: str, keep: Callable[[int, Any], None]) -> None:
        super().__init__()
        self.function = function
        self.keep = keep
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == self.function and any(isinstance(v, Tensor) for v in tree_leaves(out)):
            self.calls += 1
            self.keep(self.calls, out)
        return out

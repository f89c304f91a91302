"""Named class maps of one volume or image: HR-CAM's and its levels', or those of the peers, read in one way."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hrcam_monai.compare.peers import PEERS, MapFunction, UnsuitedError
from hrcam_monai.data.failures import reason
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics.displacement import level_reader
from hrcam_monai.networks import HRCAMNet, find_taps

__all__ = ["READ_ALIKE", "Candidate", "PeerMaps", "tapped_layers"]

logger = logging.getLogger(__name__)
READ_ALIKE = ", read as HR-CAM"  # name of a peer's map read through HR-CAM's flips, slices and scales


@dataclass
class Candidate:
    """A trained network in the comparison.

    Attributes:
        name: shown in tables.
        network: an `HRCAMNet`, or a plain classifier for the peers.
        inferer: how an HRCAMNet's maps are read: slices, flips, scales, pooling.
    """

    name: str
    network: nn.Module
    inferer: HRCAMInferer = field(default_factory=HRCAMInferer)

    @property
    def has_maps(self) -> bool:
        """Whether HR-CAM's maps can be read from it."""
        return isinstance(self.network, HRCAMNet)

    @torch.no_grad()
    def logits(self, image: Tensor) -> Tensor:
        """[1, C, *spatial] -> [K]."""
        return self.inferer(image, self.network)["logits"][0]

    @torch.no_grad()
    def read(self, image: Tensor, class_idx: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [K], and the class map and each level's share of it: name -> [*spatial]."""
        network: Any = self.network
        classes = network.head.num_classes
        out = self.inferer(image, level_reader(network))
        maps = out["maps"][0].unflatten(0, (-1, classes))[:, class_idx].float()
        name = f"HR-CAM, {self.name}"
        named = {name: maps[0]} | {f"{name}, level {i} alone": m for i, m in enumerate(maps[1:], 1)}
        return out["logits"][0, :classes], named


class PeerMaps:
    """The peers' maps on one network, named "peer (network)".

    Every peer works on a copy: hooks, gradients and switched ReLUs stay with it. A peer that fails is left out from
    then on, and `left_out` says why. The strongest peers are also read as HR-CAM is, through the same flips, slices and scales,
    which costs four times the time and more and tells what the reading gives from what the method gives.

    Args:
        candidate: the network, and how volumes are cut into slices.
        methods: names of `PEERS`; all that are not slow by default.
        slow: with the slow ones.
        alike: read the strongest a second time.

    Raises:
        ValueError: an unknown method.
    """

    def __init__(
        self, candidate: Candidate, *, methods: Iterable[str] | None = None, slow: bool = False, alike: bool = True
    ) -> None:
        chosen = list(methods) if methods is not None else [n for n, p in PEERS.items() if slow or not p.slow]
        unknown = [n for n in chosen if n not in PEERS]
        if unknown:
            raise ValueError(f"no method '{unknown[0]}'; choose among {', '.join(PEERS)}.")
        self.candidate = candidate
        self.chosen = chosen
        self.left_out: dict[str, str] = {}
        self.made: dict[str, MapFunction] = {}
        # all slices of a volume in one call, so that a peer that scales its maps scales them alike
        self.as_hrcam = copy.copy(candidate.inferer)
        self.as_hrcam.slice_batch = 10**9
        self.plain = self.as_hrcam.of_own_map()
        self.alike = alike and bool(self.as_hrcam.mirrors or self.as_hrcam.slice_sigma or self.as_hrcam.scales)

    def __call__(self, image: Tensor, class_idx: int) -> dict[str, Tensor]:
        """[1, C, *spatial] -> name -> [*spatial]."""
        maps: dict[str, Tensor] = {}
        for peer in self.chosen:
            if peer in self.left_out:
                continue
            try:
                maps |= self._one(peer, self.plain, image, class_idx)
                if PEERS[peer].alike and self.alike:
                    maps |= self._one(peer, self.as_hrcam, image, class_idx)
            except UnsuitedError as error:
                self.left_out[peer] = str(error)
            except Exception as error:  # a peer's fault is reported, and costs only itself
                self.left_out[peer] = f"{type(error).__name__}: {reason(error)}"
                logger.warning("%s on %s left out: %s", peer, self.candidate.name, self.left_out[peer])
        return maps

    def _one(self, peer: str, inferer: HRCAMInferer, image: Tensor, class_idx: int) -> dict[str, Tensor]:
        names: list[str] = []

        def read(x: Tensor) -> tuple[Tensor, Tensor]:
            if peer not in self.made:
                network = copy.deepcopy(self.candidate.network).eval()
                self.made[peer] = PEERS[peer].make(network, tapped_layers(network, x.shape[1:]))
            found = self.made[peer](x, class_idx)
            names[:] = list(found)
            stacked = torch.cat([m.to(x) for m in found.values()], 1)
            return x.new_zeros(stacked.shape[:2]), stacked

        maps = inferer(image, read)["maps"][0]
        suffix = READ_ALIKE if inferer is self.as_hrcam else ""
        return {f"{name}{suffix} ({self.candidate.name})": m.float() for name, m in zip(names, maps, strict=True)}


def tapped_layers(network: nn.Module, image_shape: Sequence[int]) -> list[str]:
    """Names of the modules that HR-CAM taps, or would tap, fine to coarse; the nearest that can be hooked where those cannot."""
    if not isinstance(network, HRCAMNet):
        return find_taps(network, (1, *image_shape), modules=True)
    own = [tap.name for tap in network.located if tap.hookable]
    whole = len(own) == len(network.located) > 0
    return [f"backbone.{n}" for n in (own if whole else find_taps(network.backbone, (1, *image_shape), modules=True))]

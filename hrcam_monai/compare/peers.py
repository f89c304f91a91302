"""The CAM methods HR-CAM is compared with: MONAI's and TorchCAM's, each one entry of `PEERS`.

A peer is made for a network and its layers. Called with images [N, C, *spatial] and a class it returns named raw maps,
[N, 1, *spatial]. Raw, because a normaliser that works image by image would make the slices of a volume incomparable.
What a library does wrong with batches is worked round here, and said in `notes`.

A new peer is one decorated function in this file, or in yours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import monai.visualize as monai_cam
import torch
from torch import Tensor, nn

from hrcam_monai.networks import HRCAMNet
from hrcam_monai.networks.level_head import upsample

__all__ = [
    "PEERS",
    "MapFunction",
    "Peer",
    "UnsuitedError",
    "cam",
    "classifier_layer",
    "grad_cam",
    "grad_cam_pp",
    "layer_cam",
    "occlusion",
    "peer",
    "raw",
    "score_cam",
    "xgrad_cam",
]

MapFunction = Callable[[Tensor, int], dict[str, Tensor]]
Maker = Callable[[nn.Module, Sequence[str]], MapFunction]


class UnsuitedError(Exception):
    """A method that this network, or this installation, does not allow; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A method to compare with.

    Attributes:
        make: (network, layers from fine to coarse) -> function of (images, class index) that returns named maps.
        notes: what was done so that the library gives the right map.
        slow: left out unless asked for.
        alike: read a second time through the flips and slices that HR-CAM's maps are read through.
    """

    make: Maker
    notes: str = ""
    slow: bool = False
    alike: bool = False


PEERS: dict[str, Peer] = {}


def peer(name: str, *, notes: str = "", slow: bool = False, alike: bool = False) -> Callable[[Maker], Maker]:
    """Register a function as a peer.

    Example:
        >>> @peer("the image itself")
        ... def image_itself(network, layers):
        ...     return lambda x, class_idx: {"the image itself": x[:, :1]}
        >>> PEERS.pop("the image itself").slow
        False
    """

    def register(make: Maker) -> Maker:
        PEERS[name] = Peer(make, notes, slow, alike)
        return make

    return register


def raw(heat: Tensor) -> Tensor:
    """In place of MONAI's per-image normaliser."""
    return heat


def classifier_layer(network: nn.Module) -> str:
    """Name of the last linear layer.

    Raises:
        UnsuitedError: the network's logits do not come from one linear layer.
    """
    names = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not names or isinstance(network, HRCAMNet):
        raise UnsuitedError("CAM needs logits from global average pooling and one linear layer.")
    return names[-1]


def _gradient_map(cam: Callable[..., Tensor], network: nn.Module, x: Tensor, class_idx: int) -> Tensor:
    """Run one of MONAI's gradient methods and forget the gradients that it leaves in the parameters."""
    with torch.enable_grad():
        heat = cam(x=x, class_idx=class_idx).detach()
    network.zero_grad(set_to_none=True)
    return heat


@peer("MONAI CAM", notes="one class a sample, because CAM rejects an integer for a batch")
def cam(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Zhou et al., CVPR 2016: the last level, weighed by the linear layer."""
    made = monai_cam.CAM(network, target_layers=layers[-1], fc_layers=classifier_layer(network), postprocessing=raw)

    def run(x: Tensor, class_idx: int) -> dict[str, Tensor]:
        with torch.no_grad():
            return {"MONAI CAM": made(x=x, class_idx=[class_idx] * len(x)).detach()}

    return run


@peer("MONAI Grad-CAM", notes="a fixed class; with class_idx=None MONAI mixes up the samples of a batch", alike=True)
def grad_cam(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Selvaraju et al., ICCV 2017, on the last level."""
    made = monai_cam.GradCAM(network, target_layers=layers[-1], postprocessing=raw)
    return lambda x, class_idx: {"MONAI Grad-CAM": _gradient_map(made, network, x, class_idx)}


@peer("MONAI Grad-CAM++", notes="one image at a time, because it fails on batches")
def grad_cam_pp(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Chattopadhay et al., WACV 2018, on the last level."""
    made = monai_cam.GradCAMpp(network, target_layers=layers[-1], postprocessing=raw)

    def run(x: Tensor, class_idx: int) -> dict[str, Tensor]:
        return {"MONAI Grad-CAM++": torch.cat([_gradient_map(made, network, image[None], class_idx) for image in x])}

    return run


@peer("MONAI occlusion", notes="one image at a time; its values fall where evidence was, so the sign is turned", slow=True)
def occlusion(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Zeiler and Fergus, ECCV 2014, with MONAI's Gaussian mask of 12 voxels."""
    made = monai_cam.OcclusionSensitivity(network, mask_size=12, n_batch=64, verbose=False, activate=False)

    def run(x: Tensor, class_idx: int) -> dict[str, Tensor]:
        with torch.no_grad():
            scores = network(x)[:, class_idx]
            heat = [z - made(image[None])[0][:, [class_idx]] for z, image in zip(scores, x, strict=True)]
        return {"MONAI occlusion": torch.cat(heat).as_subclass(Tensor)}

    return run


def _torchcam_extractor(method: str, network: nn.Module, layers: Sequence[str]) -> Any:
    """One of TorchCAM's extractors on these layers.

    Raises:
        UnsuitedError: TorchCAM is not installed.
    """
    try:
        from torchcam import methods
    except ImportError:
        raise UnsuitedError("TorchCAM is not installed; pip install hrcam-monai[compare].") from None
    return getattr(methods, method)(network, target_layer=list(layers), input_shape=(1, 1, 1))


def _level_cams(extractor: Any, network: nn.Module, x: Tensor, class_idx: int) -> list[Tensor]:
    """TorchCAM's raw maps, one a layer, each at its own resolution: [N, *]."""
    with torch.enable_grad():
        maps = extractor(class_idx, network(x.clone().requires_grad_()), normalized=False)
    return [m.detach() for m in maps]


@peer("TorchCAM LayerCAM", notes="levels scaled by the volume's maximum before fusing, not slice by slice", alike=True)
def layer_cam(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Jiang et al., IEEE TIP 2021: each level alone, the mean of the levels, and TorchCAM's fusion by the maximum."""
    extractor = _torchcam_extractor("LayerCAM", network, layers)

    def run(x: Tensor, class_idx: int) -> dict[str, Tensor]:
        size = list(x.shape[2:])
        levels = _level_cams(extractor, network, x, class_idx)
        scaled = [m / m.amax().clamp_min(1e-12) for m in levels]
        maps = {f"TorchCAM LayerCAM, level {i}": upsample(m[:, None], size) for i, m in enumerate(levels, 1)}
        maps["TorchCAM LayerCAM, mean"] = torch.stack([upsample(m[:, None], size) for m in scaled]).mean(0)
        maps["TorchCAM LayerCAM, max fusion"] = extractor.fuse_cams(scaled, tuple(size))[:, None]
        return maps

    return run


def _last_level(method: str, name: str, network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """One of TorchCAM's methods on the last level."""
    extractor = _torchcam_extractor(method, network, layers[-1:])
    return lambda x, class_idx: {name: upsample(_level_cams(extractor, network, x, class_idx)[0][:, None], list(x.shape[2:]))}


@peer("TorchCAM XGrad-CAM")
def xgrad_cam(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Fu et al., BMVC 2020."""
    return _last_level("XGradCAM", "TorchCAM XGrad-CAM", network, layers)


@peer("TorchCAM Score-CAM", slow=True)
def score_cam(network: nn.Module, layers: Sequence[str]) -> MapFunction:
    """Wang et al., CVPRW 2020: one forward pass a channel."""
    return _last_level("ScoreCAM", "TorchCAM Score-CAM", network, layers)

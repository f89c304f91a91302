"""Which networks can be wrapped: what is tapped, whether maps add up to the logits, and whether they hang on every weight.

python benchmarks/networks.py   # writes docs/networks.md; needs torchvision (pip install --no-deps torchvision)
"""

from __future__ import annotations

import copy
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from common import ROOT, environment
from monai.networks import nets
from torch import Tensor, nn

from hrcam_monai.networks import HRCAMNet, TapError

SIZES = {"inception_v3": 299}
TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *(
        "maxvit_t",
        "mnasnet1_0",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "regnet_y_400mf",
        "resnet18",
        "resnet50",
    ),
    *("resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vgg16"),
    *("vit_b_16", "wide_resnet50_2"),
)
DRAWS = 3  # of random weights; one may by chance give a map like the first
FLAT, VOLUME = (1, 1, 64, 64), (1, 1, 64, 64, 64)


class PooledEncoder(nn.Module):
    """SwinUNETR's encoder as a classifier: the mean of its deepest features, and a linear layer."""

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        sizes = {"window_size": [4] * spatial_dims, "patch_size": [2] * spatial_dims}
        shape = {"depths": (2, 2, 2, 2), "num_heads": (3, 6, 12, 24), "spatial_dims": spatial_dims}
        self.encoder = nets.swin_unetr.SwinTransformer(in_chans=1, embed_dim=24, **sizes, **shape)
        self.classifier = nn.Linear(24 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.encoder(x)[-1].flatten(2).mean(2))


MONAI: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "DenseNet121": (lambda: nets.DenseNet121(2, 1, 2), FLAT),
    "DenseNet121, 3-D": (lambda: nets.DenseNet121(3, 1, 2), VOLUME),
    "ResNet18, 3-D": (lambda: nets.resnet18(spatial_dims=3, n_input_channels=1, num_classes=2), VOLUME),
    "ResNet50": (lambda: nets.resnet50(spatial_dims=2, n_input_channels=1, num_classes=2), FLAT),
    "SEResNet50": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=1, num_classes=2), FLAT),
    "SENet154": (lambda: nets.SENet154(spatial_dims=2, in_channels=1, num_classes=2), FLAT),
    "EfficientNet-B0": (
        lambda: nets.EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False),
        FLAT,
    ),
    "SwinUNETR's encoder, pooled": (lambda: PooledEncoder(2), (1, 1, 128, 128)),
    "SwinUNETR's encoder, pooled, 3-D": (lambda: PooledEncoder(3), VOLUME),
    "ViT": (lambda: nets.ViT(1, 64, 16, spatial_dims=2, classification=True, num_classes=2, num_layers=4), FLAT),
    "Classifier": (lambda: nets.Classifier((1, 64, 64), 2, (8, 16, 32), (2, 2, 2)), FLAT),
}


HEAD = """# Networks that can be wrapped
`python benchmarks/networks.py` (first weights, seed 0; {versions}) wraps each with `HRCAMNet(backbone, 2)` and tells

- *taps* and their channels, found by following the dataflow of a forward pass: of each resolution what the next one is computed
  from, or the activation that it is a mere weighting of. `:relu@2` is the second call of a function, `relu@2` of a module;
  (last): the network keeps its features as [B, H, W, C], as some transformers do;
- *error*: the largest difference between a logit and its map's mean, relative, random head;
- *from the top*: learned layers are drawn anew one after another, from the output back to the input, the head of ours left as
  it is (Adebayo et al., 2018); networks are untrained, but for layer scales that begin at 1e-6 or so: they are set to 1. Told are
  - *stay*: so many layers from the top leave the map exactly as it was. They may only be those behind the global pooling, the
    network's own classifier, which our head takes the place of. Any other would be a fault, and is written as one;
  - *deepest*: correlation of the deepest level's map of a class before and after a third of the others, mean of three draws;
  - *all*: correlation of the class's whole map before and after all of them.

A network that turns its feature maps into tokens and decides by those has no feature map that says what it decides by: it is
refused. SwinUNETR's encoder gives a list of features and no logit: here the deepest are pooled, and a linear layer decides.

| network | taps, fine to coarse | error | stay | deepest | all |
|---|---|---|---|---|---|
"""


def torchvision_models() -> Any:
    """torchvision.models; where its compiled operators do not fit this torch, without them: networks do not use them."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    while True:
        try:
            from torchvision import models

            return models
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [n for n in sys.modules if n.startswith("torchvision")]:
                del sys.modules[name]


def learned(net: HRCAMNet, x: Tensor) -> list[tuple[nn.Module, bool]]:
    """The modules with weights of their own of a forward pass, from the output back; whether each made a map, not a vector."""
    ran: dict[nn.Module, bool] = {}

    def note(module: nn.Module, _: Any, out: Any) -> None:
        ran.pop(module, None)
        ran[module] = isinstance(out, Tensor) and out.ndim > 2 and max(sorted(out.shape[1:])[:-1]) > 1

    own = [m for m in net.backbone.modules() if next(m.parameters(recurse=False), None) is not None]
    handles = [m.register_forward_hook(note) for m in own]
    net.backbone(x)
    for handle in handles:
        handle.remove()
    return list(ran.items())[::-1]


def draw_anew(layer: nn.Module) -> None:
    """Other weights of the same spread; those that are all alike, as of an untrained normalisation, move about their value."""
    for parameter in layer.parameters(recurse=False):
        spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
        nn.init.normal_(parameter, *((0.0, spread) if spread else (float(parameter.mean()), 0.5)))


def alike(a: Tensor, b: Tensor) -> float:
    """Correlation of two maps."""
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def from_the_top(net: HRCAMNet, x: Tensor) -> tuple[str, float, float]:
    """What the table tells of weights drawn anew from the top: layers that leave the map as it was, and both correlations."""

    def deepest() -> Tensor:
        weight = net.head.weight.split(net.head.in_channels, 1)[-1]
        return torch.einsum("kc...,bc...->bk...", weight.flatten(1), net.features(x)[-1].flatten(2))

    whole, deep = net.class_maps(x)[1][:, 0], deepest()[:, 0]
    layers, before = learned(net, x), copy.deepcopy(net.state_dict())
    stay, fault, changed = 0, False, False
    thirds, wholes = [], []
    for draw in range(DRAWS):
        net.load_state_dict(before)
        for i, (layer, makes_map) in enumerate(layers, 1):
            draw_anew(layer)
            if not changed and draw == 0:
                changed = float((net.class_maps(x)[1][:, 0] - whole).abs().max()) > 1e-6 * float(whole.std())
                stay, fault = (stay, fault) if changed else (stay + 1, fault or makes_map)
            if changed and i == stay + -(-(len(layers) - stay) // 3):
                thirds.append(alike(deep, deepest()[:, 0]))
        wholes.append(alike(whole, net.class_maps(x)[1][:, 0]))
    return f"{stay} of {len(layers)}{', FAULT' if fault else ''}", sum(thirds) / DRAWS, sum(wholes) / DRAWS


@torch.no_grad()
def row(name: str, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    try:
        net = HRCAMNet(make().eval(), 2, spatial_dims=len(shape) - 2, in_channels=shape[1], input_shape=shape).eval()
    except TapError as error:
        return f"| {name} | refused: {str(error).partition(';')[0].partition(': no feature')[0]} | | | | |"
    for parameter in net.backbone.parameters():
        if float(parameter.abs().max()) < 1e-3 and float(parameter.abs().min()) > 0 and parameter.unique().numel() == 1:
            nn.init.ones_(parameter)  # layer scale
    x = torch.rand(shape)
    for level, feature in zip(net.head.weight.split(net.head.in_channels, 1), net.features(x), strict=True):
        nn.init.normal_(level, std=1 / (level.shape[1] ** 0.5 * float(feature.std())))  # so that every level counts alike
    logits, maps = net(x), net.class_maps(x)[1]
    error = float(((maps.flatten(2).mean(2) - logits).abs() / logits.abs().clamp_min(1)).max())
    taps = ", ".join(f"`{t.name}` {t.channels}{' (last)' if t.channels_last else ''}" for t in net.located)
    stay, third, everything = from_the_top(net, x)
    return f"| {name} | {taps} | {error:.0e} | {stay} | {third:.2f} | {everything:.2f} |"


def main() -> None:
    """Print the table and write docs/networks.md."""
    warnings.simplefilter("ignore")
    models = torchvision_models()
    lines = []
    for name in TORCHVISION:
        size = SIZES.get(name, 224)
        options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        lines.append(
            row(f"torchvision {name}", lambda n=name, o=options: models.get_model(n, weights=None, **o), (1, 3, size, size))
        )
        print(lines[-1], flush=True)
    for name, (built, shape) in MONAI.items():
        lines.append(row(f"MONAI {name}", built, shape))
        print(lines[-1], flush=True)
    about = environment(0)
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items()) if "versions" in about else ""
    (ROOT / "docs" / "networks.md").write_text(HEAD.format(versions=versions) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Which networks can be wrapped: what is tapped, whether maps add up to the logits, and whether the deepest weights matter.

python benchmarks/networks.py   # writes docs/networks.md; needs torchvision (pip install torchvision)
"""

from __future__ import annotations

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
    *("maxvit_t", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50"),
    *("resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vgg16"),
    *("vit_b_16", "wide_resnet50_2"),
)
MONAI: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "DenseNet121, 3-D": (lambda: nets.DenseNet121(3, 1, 2), (1, 1, 64, 64, 64)),
    "ResNet18, 3-D": (lambda: nets.resnet18(spatial_dims=3, n_input_channels=1, num_classes=2), (1, 1, 64, 64, 64)),
    "ResNet50": (lambda: nets.resnet50(spatial_dims=2, n_input_channels=1, num_classes=2), (1, 1, 64, 64)),
    "SEResNet50": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=1, num_classes=2), (1, 1, 64, 64)),
    "SENet154": (lambda: nets.SENet154(spatial_dims=2, in_channels=1, num_classes=2), (1, 1, 64, 64)),
    "EfficientNet-B0": (
        lambda: nets.EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False),
        (1, 1, 64, 64),
    ),
    "Classifier": (lambda: nets.Classifier((1, 64, 64), 2, (8, 16, 32), (2, 2, 2)), (1, 1, 64, 64)),
}


HEAD = """# Networks that can be wrapped
`python benchmarks/networks.py` (first weights, seed 0; {versions}) wraps each with `HRCAMNet(backbone, 2)` and tells

- *taps* and their channels, found by following the dataflow of a forward pass: of each resolution what the next one is computed
  from, or the activation that it is a mere weighting of. `:relu@2` is the second call of a function, `relu@2` of a module;
  (last): the network keeps its features as [B, H, W, C], as some transformers do;
- *error*: the largest difference between a logit and its map's mean, relative, random head;
- *randomised*: correlation of the maps before and after the last learned layer in front of the deepest tap is drawn anew.
  Networks are untrained and all levels count alike: one level of five can take no more than a fifth of the variance away, and
  the last layer of an untrained residual block adds next to nothing to its stream (ConvNeXt scales it by 1e-6). So 1.00,
  rounded, is no proof that the map does not depend on the layer; a column that tells such a fault is still to be made.

A network that turns its feature maps into tokens and decides by those has no feature map that says what it decides by: it is
refused. What was not tried: SwinUNETR's encoder, whose output is a list of features and no logit.

| network | taps, fine to coarse | error | randomised |
|---|---|---|---|
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


def randomised(net: HRCAMNet, x: Tensor, before: Tensor) -> float:
    """Correlation of the maps with those after the weights of the deepest level's last learned module are drawn anew."""
    parent = net.taps[-1].partition(":")[0].partition("@")[0]
    order: list[nn.Module] = []
    handles = [
        m.register_forward_hook(lambda module, *_: order.append(module))
        for m in net.backbone.modules()
        if isinstance(m, nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    reached = dict(net.backbone.named_modules())[parent].register_forward_hook(lambda *_: order.append(nn.Identity()))
    net.backbone(x)
    for handle in [*handles, reached]:
        handle.remove()
    last = max((i for i, m in enumerate(order) if isinstance(m, nn.Identity)), default=len(order))
    deepest = next(m for m in reversed(order[:last]) if not isinstance(m, nn.Identity))
    nn.init.normal_(deepest.weight, std=float(deepest.weight.std()))  # type: ignore[arg-type]
    after = net.class_maps(x)[1]
    return float(torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1])


@torch.no_grad()
def row(name: str, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    try:
        net = HRCAMNet(make().eval(), 2, spatial_dims=len(shape) - 2, in_channels=shape[1], input_shape=shape).eval()
    except TapError as error:
        return f"| {name} | refused: {str(error).partition(';')[0].partition(': no feature')[0]} | | |"
    x = torch.rand(shape)
    for level, feature in zip(net.head.weight.split(net.head.in_channels, 1), net.features(x), strict=True):
        nn.init.normal_(level, std=1 / (level.shape[1] ** 0.5 * float(feature.std())))  # so that every level counts alike
    logits, maps = net(x), net.class_maps(x)[1]
    error = float(((maps.flatten(2).mean(2) - logits).abs() / logits.abs().clamp_min(1)).max())
    taps = ", ".join(f"`{t.name}` {t.channels}{' (last)' if t.channels_last else ''}" for t in net.located)
    return f"| {name} | {taps} | {error:.0e} | {randomised(net, x, maps):.2f} |"


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
        )  # type: ignore[misc]
        print(lines[-1], flush=True)
    for name, (built, shape) in MONAI.items():
        lines.append(row(f"MONAI {name}", built, shape))
        print(lines[-1], flush=True)
    about = environment(0)
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items()) if "versions" in about else ""
    (ROOT / "docs" / "networks.md").write_text(HEAD.format(versions=versions) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

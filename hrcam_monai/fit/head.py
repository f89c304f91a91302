"""Fit the head of an HRCAMNet to a CNN that is trained already: one pass over the images, no masks."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.fit.pooled import cached, levels_and_output, logits_of
from hrcam_monai.metrics.classification import roc_auc
from hrcam_monai.metrics.faithfulness import blurred
from hrcam_monai.networks.hrcam_net import HRCAMNet
from hrcam_monai.networks.modes import evaluating
from hrcam_monai.utils.files import write_json

__all__ = ["PENALTIES", "STRIDE_POWERS", "fit_head"]

logger = logging.getLogger(__name__)

PENALTIES = (0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)  # of the coarsest level
STRIDE_POWERS = (0.0, 1.0, 2.0, 3.0)  # how much less the finer levels pay: (stride / coarsest stride) ** power
DELETED = 0.005  # share of the voxels that the deletion test takes away: little, as a blob would pass with much


def fit_head(
    net: HRCAMNet,
    loader: Iterable[Any],
    *,
    cache: str | Path | None = None,
    report: str | Path | None = None,
    tolerance: float = 0.02,
    images: int = 32,
    seed: int = 0,
    data: str = "",
) -> HRCAMNet:
    """Fit the head of HR-CAM to a CNN that is trained already, so that its maps are sharp. The CNN stays as it is.

    The loader is read once. What is fitted is a multinomial logistic regression on the levels' pooled features (the
    second stage of the paper: Shinde et al., MICCAI 2019, arXiv 1909.12919; PeerJ CS 2021, cs-622), and the maps hang on
    its regularisation. Features are scaled by level, never by channel, which would amplify channels that hardly vary.
    Ridge penalties are tried that weigh more on coarse levels, whose large receptive fields would otherwise give all of
    the logit. Among those whose held-out AUC is within `tolerance` of the best, the one is taken whose maps are the most
    faithful to the CNN on held-out images: with the top 0.5 % of the voxels blurred away, the CNN's own probability of its
    predicted class falls most. No mask is used. The head is then fitted to all of the images.

    Args:
        net: a network with `pooling="gap"` around the trained CNN.
        loader: batches {"image": [B, C, *spatial], "label": [B]}, with "subject" if several images are one subject's,
            or pairs (images, labels). Sizes may differ between batches. One in five subjects is held out.
        cache: file that keeps what the pass found; another call with the same CNN and `data` takes it from there and reads
            no image.
        report: JSON file for the candidates, the choice, and AUC and accuracy beside the CNN's own.
        tolerance: held-out AUC that may be given for better maps.
        images: held-out images kept in memory for the deletion test.
        seed: of the choice of these images.
        data: what the loader gives, for the cache: other text, another pass.

    Returns:
        `net`, with its head fitted; modes and `requires_grad` are as before.

    Raises:
        ValueError: `pooling="lse"`, an empty loader, labels that are not 0..K-1 or of which one has no image, or values
            that are not finite.

    Example:
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> net = HRCAMNet(StageCNN(), num_classes=2)
        >>> batches = [(torch.rand(8, 1, 32, 32), torch.arange(8) % 2) for _ in range(4)]
        >>> logits, maps = fit_head(net, batches).class_maps(batches[0][0])
        >>> maps.shape
        torch.Size([8, 2, 32, 32])
    """
    if net.head.pooling != "gap":
        raise ValueError(
            f"pooling is '{net.head.pooling}'; fit_head needs 'gap', whose logit is linear in the pooled features. "
            "Train the network jointly for 'lse'."
        )
    with evaluating(net):
        found = cached(net, loader, images, seed, cache, data)
        labels, held = found["labels"], found["held"]
        fitted = ~held
        if min(len(labels[rows].unique()) for rows in (held, fitted)) < net.head.num_classes:
            logger.warning("Too few subjects to hold some out: the candidates are judged on the images they are fitted to.")
            held = fitted = torch.ones_like(held)
        rows, heads = _candidates(net, found, fitted, held)
        chosen = _choose(net, found, rows, heads, tolerance)
        weight, bias = _fit(net, found, torch.ones_like(held), chosen["penalty"], chosen["stride_power"])
        weight, bias = _calibrated(found, weight, bias)
        if isinstance(net.head.reference, int):  # only differences between classes matter to the logits
            weight, bias = weight - weight[net.head.reference], bias - bias[net.head.reference]
        net.head.weight.copy_(weight)
        net.head.bias.copy_(bias)
    judge = _scores(found["logits"][held], labels[held]) if found["logits"] is not None else None
    own = f"; the CNN's own: {judge['auc']:.3f}" if judge else ""
    logger.info("head: penalty %g, stride power %g, AUC %.3f%s", *(chosen[k] for k in ("penalty", "stride_power", "auc")), own)
    if report is not None:
        taps = net.taps or [f"level {i}" for i in range(len(net.head.in_channels))]
        counts = {"images": len(labels), "held_out": int(held.sum())}
        summary = counts | {"taps": taps, "head": chosen, "classifier": judge, "candidates": rows}
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        write_json(summary, Path(report))
    return net


def _candidates(
    net: HRCAMNet, found: dict[str, Any], fitted: Tensor, held: Tensor
) -> tuple[list[dict[str, Any]], list[tuple[Tensor, Tensor]]]:
    """A line of the report for each regularisation, and the head it gives."""
    rows, heads = [], []
    grid = list(itertools.product(STRIDE_POWERS, PENALTIES))
    for power, penalty in tqdm(grid, desc="fit head", unit="head"):
        weight, bias = _fit(net, found, fitted, penalty, power)
        scores = _scores(found["pooled"][held] @ weight.T + bias, found["labels"][held])
        share = _level_share(found["pooled"], weight, net.head.in_channels)
        rows.append({"penalty": penalty, "stride_power": power, **scores, "level_share": share, "deletion_drop": None})
        heads.append((weight, bias))
    return rows, heads


def _choose(
    net: HRCAMNet, found: dict[str, Any], rows: list[dict[str, Any]], heads: list[tuple[Tensor, Tensor]], tolerance: float
) -> dict[str, Any]:
    """The line of the most faithful maps among those that classify about as well as the best."""
    best = max(row["auc"] for row in rows)
    close = [i for i, row in enumerate(rows) if row["auc"] >= best - tolerance]
    if found["logits"] is None or not found["images"]:
        # without a judge: the strongest penalty amplifies small differences least; power 2 weighs a level by its cells' area
        return max((rows[i] for i in close), key=lambda row: (row["penalty"], -abs(row["stride_power"] - 2)))
    for i, drop in zip(close, _deletion(net, found, [heads[i][0] for i in close]), strict=True):
        rows[i]["deletion_drop"] = drop
    return max((rows[i] for i in close), key=lambda row: row["deletion_drop"])


def _minimise(parameters: list[Tensor], loss: Any) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, tolerance_change=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)


def _fit(net: HRCAMNet, found: dict[str, Any], rows: Tensor, penalty: float, stride_power: float) -> tuple[Tensor, Tensor]:
    """Weights [K, C] and bias [K] of least cross entropy plus ridge penalty."""
    x, y = found["pooled"][rows], found["labels"][rows]
    mean = x.mean(0)
    strides = found["strides"] / found["strides"].max()
    parts = zip((x - mean).split(net.head.in_channels, 1), strides, strict=True)
    units = [((p**2).sum(1).mean().sqrt().clamp_min(1e-12) * s ** (stride_power / 2)).expand(p.shape[1]) for p, s in parts]
    unit = torch.cat(units)
    scaled = (x - mean) / unit
    weight = torch.zeros(net.head.num_classes, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(net.head.num_classes, dtype=x.dtype, requires_grad=True)
    # the penalty on the bias only makes it unique: the softmax does not see a shift of all classes
    _minimise(
        [weight, bias],
        lambda: F.cross_entropy(scaled @ weight.T + bias, y) + 2 * penalty * (weight**2).sum() + 1e-6 * (bias**2).sum(),
    )
    weight = weight.detach() / unit
    return weight, bias.detach() - weight @ mean


def _calibrated(found: dict[str, Any], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A strong penalty shrinks the logits: one factor for all weights, and the bias, set their scale right again."""
    logits, y = found["pooled"] @ weight.T + bias, found["labels"]
    scale = torch.zeros(1, dtype=logits.dtype, requires_grad=True)
    shift = torch.zeros_like(bias).requires_grad_()
    # the small penalty keeps the factor finite where the classes are separated without error
    _minimise(
        [scale, shift], lambda: F.cross_entropy(logits * scale.exp() + shift, y) + 1e-3 * (scale**2 + (shift**2).sum()).sum()
    )
    factor = scale.detach().exp()
    return weight * factor, bias * factor + shift.detach()


def _scores(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    auc = roc_auc(labels.numpy(), logits.softmax(1).numpy())
    return {"auc": auc, "accuracy": float((logits.argmax(1) == labels).double().mean())}


def _level_share(pooled: Tensor, weight: Tensor, channels: list[int]) -> list[float]:
    """Share of each level in the variance of the logits, up to what all classes have in common."""
    contrast = weight - weight.mean(0)
    variances = [
        float((p @ w.T).var(0).sum()) for p, w in zip(pooled.split(channels, 1), contrast.split(channels, 1), strict=True)
    ]
    return [v / max(sum(variances), 1e-30) for v in variances]


def _deletion(net: HRCAMNet, found: dict[str, Any], weights: list[Tensor]) -> list[float]:
    """Of each head: how far the CNN's probability of its predicted class falls when the top of the map is blurred away."""
    drops = torch.zeros(len(weights), dtype=torch.float64)
    original, projection = net.head.weight.clone(), net.head.projection.clone()
    net.head.projection.copy_(torch.eye(len(projection)))  # the reference class is judged by a map, too

    def judged(x: Tensor) -> tuple[list[Tensor], Tensor]:
        levels, output = levels_and_output(net, x[None])
        return levels, logits_of(output, net.head.num_classes, found["last_function"]).softmax(1)[0]  # type: ignore[union-attr]

    for image in tqdm(found["images"], desc="deletion test", unit="image"):
        x = image.to(original.device)
        size = list(x.shape[1:])
        tissue = (x != 0).any(0)
        count = max(round(DELETED * tissue.numel()), 1)
        fill = blurred(x, sigma=sum(size) / len(size) / 12)
        levels, before = judged(x)
        top = int(before.argmax())
        for i, weight in enumerate(weights):
            net.head.weight.copy_(weight - weight.mean(0))  # against the other classes, as the probability is
            heat = net.head.class_maps(levels, size)[1][0, top]
            marked = torch.where(tissue, heat, -torch.inf).flatten().topk(count).indices
            mask = torch.zeros_like(tissue.flatten()).index_fill(0, marked, True).view(size)
            drops[i] += float(before[top] - judged(torch.where(mask, fill, x))[1][top])
    net.head.weight.copy_(original)
    net.head.projection.copy_(projection)
    return (drops / len(found["images"])).tolist()

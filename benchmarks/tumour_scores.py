"""Scores of the maps of real tumours: ours, other maps of the plain CNN, and what needs no image, slice by slice."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.compare.maps import READ_ALIKE, Candidate, PeerMaps
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import bootstrap_interval, completeness_error, randomization_curve
from hrcam_monai.metrics.detection import peaks
from hrcam_monai.metrics.localization import localization_scores
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.networks.level_head import pool_maps, pooling_to
from hrcam_monai.transforms.thresholds import SCALES, threshold_between

PEERS = {"MONAI Grad-CAM": False, "TorchCAM LayerCAM": True}  # which is read as ours is, too: Grad-CAM was never the better one
OURS = "HR-CAM"
FITTED = "HR-CAM, head fitted to the plain CNN"
RIVAL = "TorchCAM LayerCAM, mean, read as HR-CAM"  # the best of the others nearly everywhere
EDGES, UNMOVED = ", along edges", ", not along edges"  # read otherwise than the task's configs say
STEPS = 10  # along edges, where configs do not read so
RULES = [(scale, round(share, 2)) for scale in SCALES for share in np.arange(0.1, 0.95, 0.05)]  # tried on validation people
SENSITIVITY = 0.9  # the operating point of false peaks: so many tumours of validation people reach above it
SIZES = ("small", "middling", "large")
SANE = 20  # slices whose maps are checked against their logits and against randomised networks
Row = dict[str, Any]


def unmoved(candidate: Candidate) -> Candidate:
    """The network, its maps read through flips alone, not along edges."""
    inferer = copy.copy(candidate.inferer)
    inferer.edges = 0
    return replace(candidate, inferer=inferer)


def peers_of(plain: Candidate) -> list[PeerMaps]:
    """The other maps of the plain CNN, as they come, and through flips and scales; `maps_of` moves the latter along edges."""
    return [PeerMaps(unmoved(plain), methods=[peer], alike=alike) for peer, alike in PEERS.items()]


def moved(maps: Mapping[str, Tensor], image: Tensor, inferer: HRCAMInferer, steps: int = 0) -> dict[str, Tensor]:
    """Maps [X, Y, 1] along the edges of their image [1, C, X, Y, 1], pooled as before; after the flips is as in each.

    As an inferer would move them, or so many steps.
    """
    if not maps or not (steps or inferer.edges):
        return dict(maps)
    stacked = torch.stack([m[..., 0] for m in maps.values()])[None]
    pool = partial(pool_maps, pooling=inferer.pooling, sharpness=inferer.sharpness)
    found = pooling_to(pool(stacked), along_edges(stacked, image[..., 0], steps or inferer.edges), pool)
    return dict(zip(maps, found[0, ..., None], strict=True))


def maps_of(ours: Candidate, peers: Iterable[PeerMaps], image: Tensor, label: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [K], and every map [X, Y, 1] of the label's class, by name; `peers` are `peers_of` the plain CNN, or none."""
    logits, found = unmoved(ours).read(image, label)
    levels = [m for n, m in found.items() if "alone" in n]
    maps = {OURS: found[f"{OURS}, {ours.name}"]} | {f"{OURS}, level {i} alone": m for i, m in enumerate(levels, 1)}
    maps[f"{OURS}, without the two finest levels"] = torch.stack(levels[2:]).sum(0)
    for peer in peers:
        maps |= {n.replace(f" ({peer.candidate.name})", ""): m for n, m in peer(image, label).items()}
    alike = {n: m for n, m in maps.items() if n.startswith(OURS) or n.endswith(READ_ALIKE)}
    maps |= moved(alike, image, ours.inferer)
    both = {n: alike[n] for n in (OURS, RIVAL) if n in alike}
    other = both if ours.inferer.edges else moved(both, image, ours.inferer, STEPS)
    maps |= {n + (UNMOVED if ours.inferer.edges else EDGES): m for n, m in other.items()}
    return logits, maps


@torch.no_grad()
def scored(
    dataset: Any,
    ours: Candidate,
    plain: Candidate,
    fitted: Candidate | None = None,
    mean_masks: Mapping[int, np.ndarray] | None = None,
) -> Iterator[Row]:
    """Rows of each slice: one with its logits, and one a map where there is a mask; where there is none, our map's peaks.

    Without a fitted head and mean masks our maps alone are scored.
    """
    peers = peers_of(plain) if fitted else []
    for data in tqdm(dataset, desc="score"):
        image, label = torch.as_tensor(data["image"])[None].as_subclass(Tensor), int(data["label"])
        mask = np.asarray(data["mask"])[0] > 0.5
        common = {"subject": data["subject"], "group": data["grade"], "label": label, "size": int(mask.sum())}
        own = {"method": "", "plain": plain.logits(image).tolist()}
        if not mask.any():
            out = ours.inferer(image, ours.network)
            heights = peaks(out["maps"][0, 1, ..., 0], (1, 1))[0]  # of the first finding; such a slice is of the reference class
            yield common | own | {"logits": out["logits"][0].tolist(), "peaks": heights.tolist()}
            continue
        logits, maps = maps_of(ours, peers, image, label)
        yield common | own | {"logits": logits.tolist(), "inside": float(maps[OURS].numpy()[mask].max())}
        if fitted and mean_masks:
            alone = {FITTED: unmoved(fitted).read(image, label)[1][f"{OURS}, {fitted.name}"]}
            maps |= moved(alone, image, fitted.inferer)
            towards = [np.linspace(-1, 1, n) ** 2 for n in mask.shape[:2]]
            maps["a Gaussian in the middle"] = torch.from_numpy(np.exp(-2 * np.add.outer(*towards))[..., None])
            maps["mean mask of the class"] = torch.from_numpy(mean_masks[label])
        yield from map_rows(maps, mask, common)


def map_rows(maps: Mapping[str, Tensor], mask: np.ndarray, common: Row) -> Iterator[Row]:
    """One row a map [X, Y, 1] of a slice with this mask."""
    for method, heat in maps.items():
        values = heat.numpy()
        yield common | {"method": method, "dice": dice_by_rule(values, mask)} | localization_scores(values, mask)


def dice_by_rule(values: np.ndarray, mask: np.ndarray) -> list[float]:
    """Dice of what each of `RULES` takes of a map; a flat one shows nothing."""
    middle, top = float(np.median(values)), float(values.max())
    if not top > middle:
        return [0.0] * len(RULES)
    taken = (values >= threshold_between(middle, top, share, scale) for scale, share in RULES)
    return [float(2 * (t & mask).sum() / (t.sum() + mask.sum())) for t in taken]


def mean_masks_of(dataset: Any) -> dict[int, np.ndarray]:
    """The mean mask of each class, over slices that have one."""
    found: dict[int, list[np.ndarray]] = {}
    for data in dataset:
        mask = np.asarray(data["mask"])[0] > 0.5
        if mask.any():
            found.setdefault(int(data["label"]), []).append(mask)
    return {label: np.mean(masks, axis=0) for label, masks in found.items()}


def classified(rows: Sequence[Row], key: str) -> dict[str, float]:
    """Accuracy, macro F1, and the AUC of two classes."""
    own = [r for r in rows if not r["method"]]
    labels, scores = np.array([r["label"] for r in own]), np.array([r[key] for r in own])
    predicted = scores.argmax(1)
    found = {"accuracy": float((predicted == labels).mean()), "macro_f1": float(f1_score(labels, predicted, average="macro"))}
    return found | ({"auc": float(roc_auc_score(labels, scores[:, 1] - scores[:, 0]))} if scores.shape[1] == 2 else {})


def located(rows: Sequence[Row], method: str, rule: int) -> dict[str, float]:
    """Means over slices, medians of Dice, and Dice by the rule that validation people chose."""
    own = [r for r in rows if r["method"] == method]
    found = {key: float(np.mean([r[key] for r in own])) for key in ("pixel_ap", "best_dice", "pointing", "energy")}
    found["median_best_dice"] = float(np.median([r["best_dice"] for r in own]))
    found["median_fixed_dice"] = float(np.median([r["dice"][rule] for r in own]))
    labels = sorted({r["label"] for r in own})
    return found | {f"pixel_ap_class_{i}": float(np.mean([r["pixel_ap"] for r in own if r["label"] == i])) for i in labels}


def operating_point(validation: Sequence[Row]) -> float:
    """The height of our map that it reaches inside most tumours of validation people."""
    return float(np.quantile([r["inside"] for r in validation if "inside" in r], 1 - SENSITIVITY))


def false_peaks(rows: Sequence[Row], validation: Sequence[Row]) -> dict[str, float] | None:
    """Our map's peaks a slice without a tumour, above what most tumours of validation people reach; None without such slices."""
    without = [r["peaks"] for r in rows if "peaks" in r]
    if not without or not any("inside" in r for r in validation):
        return None
    point = operating_point(validation)
    reached = np.mean([r["inside"] >= point for r in rows if "inside" in r])
    wrong = np.mean([sum(height >= point for height in heights) for heights in without])
    return {"point": point, "sensitivity": float(reached), "a_slice": float(wrong), "slices": len(without)}


def over_people(rows: Sequence[Row], method: str, other: str) -> dict[str, Row]:
    """Mean pixel AP of a map and its ratio to another's, with intervals over people: all, by group, by third of size."""
    pairs = list(zip(*([r for r in rows if r["method"] == m] for m in (method, other)), strict=True))
    sizes = [own["size"] for own, _ in pairs]
    thirds = np.digitize(sizes, np.quantile(sizes, (1 / 3, 2 / 3)))
    parts = {"all": pairs}
    parts |= {g: [p for p in pairs if p[0]["group"] == g] for g in sorted({own["group"] for own, _ in pairs})}
    parts |= {f"{n} tumours": [p for p, t in zip(pairs, thirds, strict=True) if t == i] for i, n in enumerate(SIZES)}
    return {name: _interval(part) for name, part in parts.items() if part}


def _interval(pairs: Sequence[tuple[Row, Row]]) -> Row:
    """Means over slices; people, not slices, are drawn anew."""
    subjects = np.array([own["subject"] for own, _ in pairs])
    own, other = np.array([(a["pixel_ap"], b["pixel_ap"]) for a, b in pairs]).T
    found: Row = {"slices": len(pairs), "people": len(set(subjects)), "pixel_ap": float(own.mean())}
    found["ratio"] = float(own.sum() / other.sum())
    found["pixel_ap_ci95"] = list(bootstrap_interval(np.mean, own, subjects=subjects))
    found["ratio_ci95"] = list(bootstrap_interval(lambda a, b: float(a.sum() / b.sum()), own, other, subjects=subjects))
    return found


def sanity(ours: Candidate, dataset: Any) -> dict[str, float]:
    """Largest completeness error, and correlation of maps with those of the network with all its weights drawn anew."""
    network: Any = ours.network
    images = [
        torch.as_tensor(dataset[i]["image"]).as_subclass(Tensor) for i in np.linspace(0, len(dataset) - 1, SANE).astype(int)
    ]

    def read(changed: nn.Module, image: Tensor) -> Tensor:
        return ours.inferer(image, changed)["maps"][0, -1]

    with torch.no_grad():
        out = [ours.inferer(image[None], network) for image in images]
    errors = [
        float(completeness_error(o["logits"], o["maps"], pooling=ours.inferer.pooling, sharpness=ours.inferer.sharpness))
        for o in out
    ]
    *_, last = randomization_curve(network, read, images, every=1000)
    return {"completeness": max(errors), "randomised": last.correlation, "randomised_absolute": last.absolute}


def map_lines(rows: Sequence[Row], validation: Sequence[Row]) -> dict[str, Row]:
    """A line a map, its threshold chosen on validation people."""
    lines = {}
    for method in dict.fromkeys(r["method"] for r in rows if r["method"]):
        rule = int(np.median([r["dice"] for r in validation if r["method"] == method], axis=0).argmax())
        scale, share = RULES[rule]
        lines[method] = {"slices": sum(r["method"] == method for r in rows), "scale": scale, "share": share}
        lines[method] |= located(rows, method, rule)
    return lines


def summary(rows: Sequence[Row], validation: Sequence[Row]) -> dict[str, Any]:
    """Classification of both networks, and a line a map."""
    found: dict[str, Any] = {"network": classified(rows, "logits"), "plain": classified(rows, "plain")}
    found["maps"] = map_lines(rows, validation)
    by = over_people(rows, OURS, RIVAL) if RIVAL in found["maps"] else {}
    return found | {"false_peaks": false_peaks(rows, validation), "by": by}

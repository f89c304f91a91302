"""Figures: a map over its image, and the curves of an evaluation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from hrcam_monai.metrics.cohort import finding_groups, told_from
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.files import atomic_write

__all__ = ["draw_map", "evaluation_figure", "figure_image", "map_panel"]

SHOWN = 0.25  # voxels below this share of the map's maximum stay clear


def _best_slice(heat: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slice along the last axis through the map's maximum."""
    if heat.ndim == 2:
        return heat, image
    z = int(np.unravel_index(heat.argmax(), heat.shape)[2])
    return heat[..., z], image[..., z]


def draw_map(
    axes: Any, image: np.ndarray, *, heat: np.ndarray | None = None, mask: np.ndarray | None = None, shown: float = SHOWN
) -> None:
    """Draw a 2-D slice in grey, a map over it in colour, a mask as a contour; first axis to the right, second up.

    Of the map what is above 0 counts, from the share `shown` of its maximum on.
    """
    inside = image[image != 0]
    low, high = np.percentile(inside, [1, 99]) if inside.size else (0.0, 1.0)
    grey = np.where(image != 0, image, low)
    axes.imshow(grey.T, origin="lower", cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if heat is not None and heat.max() > 0:
        top = float(heat.max())
        alpha = np.clip((heat / top - shown) / (1 - shown), 0, 1) ** 0.5 * 0.8
        axes.imshow(heat.T, origin="lower", cmap="inferno", vmin=0, vmax=top, alpha=alpha.T, interpolation="nearest")
    if mask is not None and mask.any():
        axes.contour(mask.T.astype(float), [0.5], colors="cyan", linewidths=0.8)
    axes.axis("off")


def figure_image(figure: Figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    stream.seek(0)
    return Image.open(stream).convert("RGB")


def map_panel(
    image: np.ndarray,
    heat: np.ndarray,
    *,
    title: str = "",
    mask: np.ndarray | None = None,
    floor: float = 0.0,
    shown: float = SHOWN,
) -> Image.Image:
    """The slice through the map's maximum, without and with the map: [X, Y] or [X, Y, Z] to a picture.

    A mask [X, Y] is outlined. Values up to the share `shown` of the way from `floor` to the maximum stay clear.
    """
    matplotlib.use("Agg", force=False)
    flat_heat, flat_image = _best_slice(heat, image)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_map(left, flat_image, mask=mask)
    draw_map(right, flat_image, heat=flat_heat - floor, mask=mask, shown=shown)
    figure.suptitle(f"{title}  (map {heat.min():.2f} to {heat.max():.2f})", fontsize=9)
    return figure_image(figure)


def evaluation_figure(rows: Sequence[dict[str, Any]], classes: Classes, path: str | Path) -> None:
    """ROC curves and localisation by group, from the rows of `per_subject.csv`; see `told_from`."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    groups = finding_groups(rows, classes)
    for group in groups or [""]:
        chosen = told_from(rows, group, classes) if group else rows
        found = np.array([r["label"] > 0 for r in chosen])
        if len(set(found)) == 2:
            fpr, tpr, _ = roc_curve(found, [1 - r[f"probability_{classes[0]}"] for r in chosen])
            left.plot(fpr, tpr, label=group or f"not {classes[0]}")
    left.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", aspect="equal")
    if left.get_legend_handles_labels()[0]:
        left.legend(loc="lower right", frameon=False)
    boxes = {g: [r["pixel_ap"] for r in rows if g in ("", r["group"]) and r["pixel_ap"] != ""] for g in groups or [""]}
    boxes = {g: v for g, v in boxes.items() if v}
    if boxes:
        right.boxplot(list(boxes.values()), tick_labels=[f"{g or 'all'} (n={len(v)})" for g, v in boxes.items()])
        right.set(ylim=(0, 1), ylabel="pixel average precision", title="Localisation, one dot a subject")
        for i, values in enumerate(boxes.values(), 1):
            right.plot(np.full(len(values), i) + np.linspace(-0.15, 0.15, len(values)), values, ".", color="0.4", markersize=3)
    else:
        right.axis("off")
        right.text(0.5, 0.5, "no masks: localisation not scored", ha="center")
    with atomic_write(Path(path)) as partial:
        figure.savefig(partial, dpi=110)

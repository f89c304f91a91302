"""Figures of a comparison: one panel a subject, one summary of all methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hrcam_monai.figures import draw_map
from hrcam_monai.metrics.measures import LOCALIZATION
from hrcam_monai.utils.files import atomic_write

__all__ = ["comparison_panel", "summary_figure"]

COLUMNS = 5


def comparison_panel(image: np.ndarray, mask: np.ndarray, maps: Mapping[str, np.ndarray], path: Path, title: str = "") -> None:
    """The image, and each map over it, with the mask's outline: [*spatial] all, on the slice with most of the mask.

    One rule of colour for all: from 0 to the map's own maximum on that slice, values below a quarter of it clear.
    """
    if image.ndim == 3:
        z = int(mask.sum((0, 1)).argmax())
        image, mask, maps = image[..., z], mask[..., z], {n: m[..., z] for n, m in maps.items()}
    count = len(maps) + 1
    lines = -(-count // COLUMNS)
    shape = image.shape[1] / image.shape[0]
    figure = Figure(figsize=(2.6 * COLUMNS, (2.6 * shape + 0.35) * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    draw_map(axes[0], image, mask=mask)
    axes[0].set_title(f"{path.stem} {title}".strip(), fontsize=9)
    for ax, (name, heat) in zip(axes[1:], maps.items(), strict=False):
        draw_map(ax, image, heat=np.clip(heat, 0, None), mask=mask)
        ax.set_title(name.replace("TorchCAM ", "").replace("MONAI ", ""), fontsize=8)
    for ax in axes[count:]:
        ax.axis("off")
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=90)


def summary_figure(summary: Mapping[str, Any], path: Path) -> None:
    """Pixel AP, pointing game and energy of every method over all subjects, with intervals, best on top."""
    lines = sorted((x for x in summary["localization"] if x["group"] == "all"), key=lambda x: x["pixel_ap"])
    if not lines:
        return
    figure = Figure(figsize=(11, 0.28 * len(lines) + 1.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    places = np.arange(len(lines))
    for ax, key in zip(axes, ("pixel_ap", "pointing", "energy"), strict=True):
        means = np.array([x[key] for x in lines])
        ends = np.abs(np.array([x[f"{key}_ci95"] for x in lines]).T - means)
        colors = ["tab:orange" if x["method"].startswith("HR-CAM") else "0.55" for x in lines]
        ax.barh(places, means, color=colors, height=0.7)
        ax.errorbar(means, places, xerr=ends, fmt="none", color="black", linewidth=0.8)
        ax.set(title=LOCALIZATION[key].told, xlim=(0, None))
        ax.set_yticks(places, [x["method"] for x in lines], fontsize=7)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)

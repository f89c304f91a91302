"""Pictures of one subject: its scan with its map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from nibabel.affines import apply_affine

from hrcam_monai.data.pictures import read_picture
from hrcam_monai.figures import map_panel
from hrcam_monai.report.scene import Scene
from hrcam_monai.transforms.thresholds import Threshold, evidence_range
from hrcam_monai.utils.files import atomic_write

__all__ = ["draw_picture", "draw_scene"]


def draw_scene(scene: Scene, title: str, path: Path) -> None:
    """Three planes through the map's maximum; a brain that was cut out of its head is outlined, and what a person has drawn."""
    from matplotlib import pyplot as plt
    from nilearn import plotting  # imported late: it takes a second

    heat = scene.heats[scene.shown]
    figure = plt.figure(figsize=(7.3, 2.6))  # one of our own, to be closed: nilearn 0.14 leaves its own open
    drawn: Any = plotting.plot_stat_map(
        scene.image(heat.above.astype(np.float32)),
        bg_img=scene.image(scene.scan),
        cut_coords=tuple(map(float, apply_affine(scene.affine, heat.voxel))),
        threshold=heat.share * heat.top,
        black_bg=True,
        cmap="inferno",
        vmin=0.0,
        vmax=heat.top,
        symmetric_cbar=False,
        draw_cross=False,
        title=title,
        figure=figure,
    )
    for outlined, colour in ((scene.head if scene.stripped else None, "deepskyblue"), (scene.mask, "cyan")):
        if outlined is not None and outlined.any():
            drawn.add_contours(scene.image(outlined.astype(np.float32)), levels=[0.5], colors=colour, linewidths=0.7)
    with atomic_write(path) as partial:
        drawn.savefig(partial)
    plt.close(figure)


def draw_picture(file: str, heat: Path, title: str, threshold: Threshold, mask: str | None, path: Path) -> None:
    """A picture without and with its map; what a person has drawn is outlined."""
    files: list[str | Path] = [file, heat, *([mask] if mask else [])]
    drawn = [read_picture(name, channels=3).mean(0)[:, ::-1, 0] for name in files]  # figures are drawn from below upwards
    values = torch.from_numpy(drawn[1].copy())
    of = evidence_range(values, torch.ones_like(values, dtype=torch.bool), *threshold)  # air of pictures is seldom 0
    panel = map_panel(drawn[0], drawn[1], title=title, mask=drawn[2] > 0 if mask else None, floor=of.middle, shown=of.share)
    with atomic_write(path) as partial:
        panel.save(partial)

"""Pictures of maps in template space: glass brains, mosaics, and whether scans are aligned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from hrcam_monai.utils.files import atomic_write

__all__ = ["draw_alignment", "draw_map"]

BOUNDARY = 0.5  # between brain and outside, of the template's mask


def _save(display: Any, figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    with atomic_write(path) as partial:
        display.savefig(partial, dpi=110)
    display.close()
    plt.close(figure)


def draw_map(image: Any, background: Any, title: str, threshold: float, folder: Path, name: str) -> list[str]:
    """A mosaic over the template and a glass brain of a map; nothing is drawn within the threshold.

    Args:
        image: NIfTI image in template space, finite.
        background: the template.
        title: on the picture.
        threshold: of the absolute value.
        folder: where the pictures go.
        name: what their names begin with.

    Returns:
        names of the pictures.
    """
    from matplotlib import pyplot as plt
    from nilearn import plotting  # imported late: it takes a second

    values = np.asarray(image.dataobj)
    top = max(float(np.abs(values).max()), 1e-6)
    both = bool((values < -threshold).any())
    style: dict[str, Any] = {"cmap": "cold_hot" if both else "inferno", "vmax": top, "colorbar": True, "threshold": threshold}
    style |= {"vmin": -top if both else 0.0, "symmetric_cbar": both}
    through = values if float(values.max()) > threshold else -values
    middle = np.unravel_index(int(through.argmax()), values.shape)
    centre = apply_affine(image.affine, middle)
    names = []
    for kind, size in (("mosaic", (12, 6)), ("glass", (10, 3))):
        figure = plt.figure(figsize=size)
        if kind == "mosaic":
            cuts = {axis: [float(c + d) for d in (-12, -8, -4, 0, 4, 8, 12)] for axis, c in zip("xyz", centre, strict=True)}
            display = plotting.plot_stat_map(
                image, bg_img=background, display_mode="mosaic", cut_coords=cuts, title=title, figure=figure, **style
            )
        else:
            display = plotting.plot_glass_brain(image, display_mode="lyrz", plot_abs=False, title=title, figure=figure, **style)
        names.append(f"{name}_{kind}.png")
        _save(display, figure, folder / names[-1])
    return names


def draw_alignment(mean_scan: Any, brain: Any, path: Path) -> None:
    """The mean of the scans with the template's brain as a line: blurred or beside the line means not aligned."""
    from matplotlib import pyplot as plt
    from nilearn import plotting

    figure = plt.figure(figsize=(10, 3.4))
    values = np.asarray(mean_scan.dataobj)
    middle = apply_affine(mean_scan.affine, np.argwhere(values > 0).mean(0))
    style: dict[str, Any] = {"display_mode": "ortho", "cut_coords": tuple(map(float, middle)), "draw_cross": False}
    display = plotting.plot_anat(mean_scan, figure=figure, title="mean of the scans", **style)
    display.add_contours(brain, levels=[BOUNDARY], colors="c", linewidths=0.8)
    _save(display, figure, path)

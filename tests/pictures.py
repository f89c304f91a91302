"""Cohorts of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (40, 32)  # columns, rows


def draw(path: Path, label: int, seed: int, colour: bool = False, mask: Path | None = None) -> None:
    """Noise; of label 1 with a bright square, right of the middle and above it, that the mask shows."""
    columns, rows = SIZE
    pixels = np.random.default_rng(seed).integers(20, 120, (rows, columns))
    found = np.zeros((rows, columns), np.uint8)
    if label:
        found[6:14, 26:34] = 255
        pixels[found > 0] += 120
    pixels = pixels.astype(np.uint8)
    Image.fromarray(np.stack([pixels, pixels // 2, pixels // 3], -1) if colour else pixels).save(path)
    if mask is not None and label:
        Image.fromarray(found).save(mask)


def picture_cohort(folder: Path, each: int = 4, suffix: str = ".png", colour: bool = False) -> Path:
    """A manifest of `each` pictures in each split, of both classes in turn."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    content: dict = {"classes": ["none", "square"]}
    for split in ("training", "validation", "test"):
        content[split] = []
        for i in range(each):
            name, label = f"{split}{i}", i % 2
            draw(folder / "images" / f"{name}{suffix}", label, len(split) * 100 + i, colour, folder / "masks" / f"{name}.png")
            entry = {"image": f"images/{name}{suffix}", "label": content["classes"][label], "subject": name}
            content[split].append(entry | ({"mask": f"masks/{name}.png"} if label else {}))
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder

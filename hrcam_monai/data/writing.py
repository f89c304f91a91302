"""Files written whole or not at all, so that an interrupted run leaves no half file behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


def write_volume(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """A NIfTI file of a volume [X, Y, Z] and its RAS+ affine (mm); nothing else of a header is kept."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    partial_path = path.with_name(f".{path.name}")
    nib.save(image, partial_path)
    partial_path.replace(path)


def write_json(content: Any, path: Path) -> None:
    """A JSON file."""
    partial_path = path.with_name(f".{path.name}")
    partial_path.write_text(json.dumps(content, indent=1))
    partial_path.replace(path)

"""NiiVue, and what it shows of a subject, as scripts that a page loads from beside it.

A page opened from disk may load scripts, but neither modules nor data: so both lie in scripts, one a subject, loaded when it is
looked at. NiiVue's own source comes from the installed `ipyniivue`; nothing is fetched from a network.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from hrcam_monai.report.scene import Heat, Scene
from hrcam_monai.utils.files import write_text

__all__ = ["nifti", "niivue_module", "write_subject", "write_viewer"]

PACKAGE = "ipyniivue"
WINDOW = (1.0, 99.5)  # percentiles of the head between which a scan goes from black to white
MODULE = re.compile(r'"([\w.!~*\'()%-]{100000,})"')  # a string as long as a module, percent-encoded
EXPORTS = ("Niivue", "NVImage", "SLICE_TYPE", "SHOW_RENDER", "COLORMAP_TYPE")  # what the page asks of it


def niivue_module() -> tuple[str, str]:
    """NiiVue as one JavaScript module, and its licence, from the installed `ipyniivue`.

    Its widget carries the module as a string, for pages that it saves itself.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: its widget carries no such module.

    Example:
        >>> module, licence = niivue_module()  # doctest: +SKIP
        >>> licence.splitlines()[0]  # doctest: +SKIP
        'BSD 2-Clause License'
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{PACKAGE} is not installed, which brings the report's viewer; pip install {PACKAGE}."
        ) from None
    widget = Path(str(package.locate_file(f"{PACKAGE}/static/widget.js"))).read_text(encoding="utf-8")
    found = MODULE.search(widget)
    module = unquote(found[1]) if found else ""
    exported = module.rpartition("export{")[2]
    missing = [name for name in EXPORTS if not re.search(rf"\b{name}\b", exported)]
    if missing:
        raise ValueError(
            f"{PACKAGE} {package.version}: holds no NiiVue with {', '.join(missing)}; pip install '{PACKAGE}==2.4.4'."
        )
    return module, package.read_text("licenses/LICENSE") or ""


def write_viewer(folder: Path) -> None:
    """NiiVue as a script that a page loads, with its licence beside it, as that asks for.

    Raises:
        ModuleNotFoundError, ValueError: see `niivue_module`.
        OutputError: a file cannot be written.
    """
    module, licence = niivue_module()
    write_text(folder / "niivue.js", f"window.NIIVUE = {json.dumps(module)};\n")
    write_text(folder / "niivue_LICENSE.txt", licence)


def write_subject(scene: Scene, path: Path) -> None:
    """What the viewer shows of a subject, as a script."""
    write_text(path, f"window.SUBJECT = {json.dumps(_layers(scene))};\n")


def _layers(scene: Scene) -> dict[str, Any]:
    """What the viewer shows: images as compressed NIfTI in base64, of grids and values alone.

    Returns:
        `scan`, `mask` (None without one), `shown` (the class of the map written in full), and of each class in `maps` its
        `image`, `top` (logit units above the median), `share` of it from which on the map counts, and `peak` (mm); of a flat
        map no image.
    """
    low, high = np.percentile(scene.scan[scene.head] if scene.head.any() else scene.scan, WINDOW)
    return {
        "scan": nifti(scene.scan, scene.affine, float(low), float(max(high, low + 1e-6))),
        "mask": None if scene.mask is None else nifti(scene.mask, scene.affine, 0.0, 255.0),
        "maps": {name: _map(heat, scene.affine) for name, heat in scene.heats.items()},
        "shown": scene.shown,
    }


def _map(heat: Heat, affine: np.ndarray) -> dict[str, Any]:
    return {
        "image": None if heat.flat else nifti(heat.above, affine, 0.0, heat.top),
        "top": heat.top,
        "share": heat.share,
        "peak": [round(float(x), 2) for x in apply_affine(affine, heat.voxel)],
    }


def nifti(values: np.ndarray, affine: np.ndarray, low: float, high: float) -> str:
    """Values [X, Y, Z] between `low` and `high` in 256 steps as NIfTI, compressed, in base64.

    Its header holds shape, affine and scale, and nothing of any other file's.

    Example:
        >>> packed = nifti(np.eye(3)[..., None], np.eye(4), 0.0, 1.0)
        >>> from base64 import b64decode
        >>> nib.Nifti1Image.from_bytes(gzip.decompress(b64decode(packed))).get_fdata().max()
        1.0
    """
    step = (high - low) / 255
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(values.shape)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_xyzt_units("mm")
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["scl_slope"], header["scl_inter"] = step, low
    stored = np.clip((values.astype(np.float32) - low) / step, 0, 255).round().astype(np.uint8)
    content = header.binaryblock + bytes(4) + stored.tobytes(order="F")
    return b64encode(gzip.compress(content, 6, mtime=0)).decode()

"""`report.html`: the table of predictions beside one viewer, in which each subject's scan, map and mask can be looked at."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tqdm import tqdm

from hrcam_monai.brain import HEAD
from hrcam_monai.brain.strip import AS_IT_CAME
from hrcam_monai.data.manifest import load_manifest, manifest_path
from hrcam_monai.data.pictures import is_picture
from hrcam_monai.data.reading import read_nifti
from hrcam_monai.data.unusual import UNUSUAL
from hrcam_monai.handlers.predictions import read_predictions
from hrcam_monai.input_check import CHECK, is_unlike
from hrcam_monai.input_check.check import AS_TRAINED
from hrcam_monai.report.overlay import draw_picture, draw_scene
from hrcam_monai.report.scene import Scene, make_scene
from hrcam_monai.report.viewer import write_subject, write_viewer
from hrcam_monai.transforms.saving import written_map
from hrcam_monai.transforms.thresholds import HALF_WAY, Threshold
from hrcam_monai.utils.csv_files import read_csv
from hrcam_monai.utils.distributed import is_main_process
from hrcam_monai.utils.files import write_text, writing
from hrcam_monai.utils.templates import render

__all__ = ["sentence", "write_report"]

logger = logging.getLogger(__name__)
ORDINARY = (AS_TRAINED, AS_IT_CAME)  # what need not be said
PROBABILITY = "probability_"  # of each class, in predictions.csv
Row = Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """A subject's line of the page.

    Attributes:
        subject: its name, as its files are called.
        cells: of the table, by column.
        unlike: not to be trusted.
        title: above its picture.
        view: "volume" for the viewer, "picture" for its overlay alone, "" for neither.
    """

    subject: str
    cells: dict[str, str]
    unlike: bool
    title: str
    view: str


def _masks_of(source: str | Path | None) -> dict[str, str]:
    """Of each image of a manifest the file of its mask, if a person has drawn one; none of any other source.

    Example:
        >>> _masks_of("a_folder_of_scans")
        {}
    """
    path = manifest_path(source) if source is not None else None
    if path is None or path.suffix != ".json" or not path.is_file():
        return {}
    listed = [entry for entries in load_manifest(path).entries.values() for entry in entries]
    return {entry["image"]: entry["mask"] for entry in listed if "mask" in entry}


def _map_threshold(folder: Path) -> Threshold:
    """From which value on a map counts, as inference was told."""
    try:
        settings = json.loads((folder / "settings.json").read_text())
        return Threshold(float(settings["map_threshold"]), settings.get("map_scale", HALF_WAY.scale))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of a version that did not write it
        return HALF_WAY


def sentence(row: Mapping[str, str]) -> str:
    """What was unusual about a subject, in one sentence; "" if nothing was.

    Example:
        >>> sentence({"input_check": "as trained", "head": "brain cut out, 1.30 l", "unusual": "taken at 31 degrees"})
        'Brain cut out, 1.30 l; taken at 31 degrees.'
    """
    told = "; ".join(row[key] for key in (CHECK, HEAD, UNUSUAL) if row.get(key) and row[key] not in ORDINARY)
    return f"{told[0].upper()}{told[1:]}." if told else ""


def write_report(output_dir: str | Path, *, max_viewers: int | None = None, source: str | Path | None = None) -> Path:
    """Overlays, viewer and `report.html` of a folder that inference wrote: predictions.csv, maps, failures.csv.

    The page loads a subject from beside it, from `viewer/`, when it is looked at; it needs no network. Under torchrun the main
    process alone writes.

    Args:
        output_dir: the folder; `overlays/`, `viewer/` and `report.html` are written there.
        max_viewers: subjects that the viewer shows, all by default; of the others the page shows the overlay.
        source: what inference was run on; where it is a manifest with masks, these are shown.

    Returns:
        path of the page.

    Raises:
        FileNotFoundError: the folder holds no predictions.csv.
        ModuleNotFoundError: ipyniivue, which brings the viewer, is not installed.

    Example:
        >>> write_report("bundle/eval")  # doctest: +SKIP
    """
    folder = Path(output_dir)
    path = folder / "report.html"
    if not is_main_process():
        return path
    rows, masks, threshold = read_predictions(folder), _masks_of(source), _map_threshold(folder)
    lines: list[Line] = []
    for row in tqdm(rows, desc="report", unit="subject"):
        room = max_viewers is None or sum(line.view == "volume" for line in lines) < max_viewers
        lines.append(_line(folder, row, masks.get(row["file"]), threshold, room))
    if any(line.view == "volume" for line in lines):
        write_viewer(folder / "viewer")
    failures = folder / "failures.csv"
    page = render(
        "report.html",
        columns=list(dict.fromkeys(name for line in lines for name in line.cells)),
        lines=lines,
        threshold=threshold,
        shown=_shown(rows),
        failures=read_csv(failures) if failures.is_file() else [],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_text(path, page)
    logger.info("report: %s", path.resolve())
    print(f"report: {path.resolve()}")
    return path


def _shown(rows: Sequence[Row]) -> str:
    """The class whose map every row has, though not all are predicted so; empty where rows differ."""
    classes = {row.get("map_class") or row["predicted"] for row in rows}
    alike = len(classes) == 1 and len({row["predicted"] for row in rows}) > 1
    return next(iter(classes)) if alike else ""


def _line(folder: Path, row: Row, mask: str | None, threshold: Threshold, room: bool) -> Line:
    """Draw a subject, and say what the page's table says of it."""
    subject, predicted, unlike = row["subject"], row["predicted"], is_unlike(row)
    probability = float(row[PROBABILITY + predicted])
    shown = row.get("map_class") or predicted
    title = f"{subject}: {predicted} (p = {probability:.2f})"
    title += (", not to be trusted" if unlike else "") + (f", map of {shown}" if shown != predicted else "")
    cells = {"subject": subject} | {name: row[name] for name in ("fold", "label") if name in row}
    cells |= {"predicted": predicted + (" ?" if unlike else ""), "probability": f"{probability:.3f}"}
    cells["unusual"] = sentence(row)
    heat = written_map(folder, subject)
    if not heat.is_file():
        return Line(subject, cells, unlike, title, "")
    overlay = _file(folder / "overlays", f"{subject}.png")
    if is_picture(heat):
        draw_picture(row["file"], heat, title, threshold, mask, overlay)
        return Line(subject, cells, unlike, title, "picture")
    scene = _scene(folder, row, shown, mask, threshold)
    draw_scene(scene, title, overlay)
    if room:
        write_subject(scene, _file(folder / "viewer", f"{subject}.js"))
    return Line(subject, cells, unlike, title, "volume" if room else "picture")


def _file(folder: Path, name: str) -> Path:
    """A file to write, in a folder that is there."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
    return folder / name


def _scene(folder: Path, row: Row, shown: str, mask: str | None, threshold: Threshold) -> Scene:
    """What inference has written of a volume: the map of the class shown in full, of the others as the network has made them."""
    subject, maps = row["subject"], folder / "maps"
    every, cut = (maps / f"{subject}_{kind}.nii.gz" for kind in ("classes", "brain"))
    heat: Any = nib.load(written_map(folder, subject))
    brain: Any = nib.load(cut) if cut.is_file() else None
    others: dict[str, nib.Nifti1Image] = {}
    if every.is_file():
        made: Any = nib.load(every)
        classes = [name.removeprefix(PROBABILITY) for name in row if name.startswith(PROBABILITY)]
        values = np.asarray(made.dataobj)
        others = {name: nib.Nifti1Image(values[..., i], made.affine) for i, name in enumerate(classes)}
    drawn = read_nifti(mask, blank=True) if mask else None
    return make_scene(read_nifti(row["file"]), heat, shown, threshold, others, brain, drawn)

"""`report.html`: one self-contained page with the table of predictions and an interactive viewer of each map."""

from __future__ import annotations

import html
import json
import logging
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.spatialimages import SpatialImage
from tqdm import tqdm

from hrcam_monai.brain import HEAD
from hrcam_monai.brain.strip import AS_IT_CAME
from hrcam_monai.data.manifest import load_manifest, manifest_path
from hrcam_monai.data.pictures import is_picture, read_picture
from hrcam_monai.data.reading import read_nifti
from hrcam_monai.figures import map_panel
from hrcam_monai.handlers.predictions import read_predictions
from hrcam_monai.input_check import CHECK, is_unlike
from hrcam_monai.input_check.check import AS_TRAINED
from hrcam_monai.transforms.saving import written_map
from hrcam_monai.transforms.thresholds import evidence_range
from hrcam_monai.utils.csv_files import read_csv
from hrcam_monai.utils.distributed import is_main_process
from hrcam_monai.utils.files import whole, write_text, writing

logger = logging.getLogger(__name__)
ORDINARY = (AS_TRAINED, AS_IT_CAME)  # what need not be said
VIEWER_MM = 2.0  # voxel size of the page's viewers: a page of many subjects must still open
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd}
td.n{font-variant-numeric:tabular-nums}tr.on{background:#eef4ff}button{cursor:pointer;padding:.2rem .6rem}
iframe{width:100%;height:560px;border:1px solid #ccc;margin-top:1rem;background:#000}.note{color:#666}
img{max-width:100%;margin-top:1rem}.failed{color:#a00}
"""
SCRIPT = """
const viewers=JSON.parse(document.getElementById('viewers').textContent);
function show(i){const v=viewers[i];document.querySelectorAll('tr').forEach(r=>r.classList.toggle('on',r.id==='row'+i));
document.getElementById('name').textContent=v.name;
const frame=document.getElementById('frame');frame.hidden=!v.page;frame.srcdoc=v.page;
document.getElementById('overlay').src=v.overlay;}
if(viewers.length)show(0);
"""


def along_own_axes(image: SpatialImage) -> SpatialImage:
    """An oblique scan as if it had been taken straight, for pictures: its own planes, its middle where it was.

    Cut along the world's axes, a thin slab shows as slanted strips. The first axis then goes to the right, the second forwards,
    the third up, as nearly as they did.

    Example:
        >>> tilted = nib.affines.from_matvec(nib.eulerangles.euler2mat(x=0.3) * 2, [1, 2, 3])
        >>> along_own_axes(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), tilted)).affine.diagonal()
        array([2., 2., 2., 1.])
    """
    near = nib.as_closest_canonical(image)
    affine = np.diag([*nib.affines.voxel_sizes(near.affine), 1.0])
    middle = (np.array(near.shape[:3]) - 1) / 2
    affine[:3, 3] = nib.affines.apply_affine(near.affine, middle) - affine[:3, :3] @ middle
    return nib.Nifti1Image(np.asarray(near.dataobj), affine)


def _draw_subject(
    scan: SpatialImage, heat: Any, title: str, overlay: Path, interactive: bool, share: float, brain: SpatialImage | None
) -> str | None:
    """Write the PNG overlay through the map's maximum and return the interactive viewer as HTML, if it is wanted.

    A brain that was cut out of its head is outlined, and the map is shown within it.
    """
    from matplotlib import pyplot as plt
    from nilearn import image, plotting  # imported late: it takes a second

    scan, heat = along_own_axes(scan), along_own_axes(heat)
    values, anatomy = (np.ascontiguousarray(i.dataobj) for i in (heat, scan))  # torch takes no mirrored axes
    head = anatomy != 0 if brain is None else np.ascontiguousarray(along_own_axes(brain).dataobj) > 0
    of = evidence_range(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(head), share)
    above = np.clip(values - of.middle, 0, None) * head
    # through the map's maximum; through the middle of the head where the map has nothing to show
    voxel = np.argwhere(head).mean(0) if of.empty else np.unravel_index(above.argmax(), above.shape)
    through = nib.affines.apply_affine(heat.affine, voxel)
    grid = np.diag([VIEWER_MM] * 3)
    background = image.resample_img(scan, grid, interpolation="linear")
    small = image.resample_to_img(image.new_img_like(heat, above), background, interpolation="linear")
    top = 1.0 if of.empty else of.top - of.middle  # of a flat map the anatomy alone is shown
    threshold = share * top
    shown = {"bg_img": background, "cut_coords": tuple(map(float, through)), "threshold": threshold, "black_bg": True}
    style = {"cmap": "inferno", "vmin": 0.0, "vmax": top}
    figure = plt.figure(figsize=(7.3, 2.6))  # one of our own, to be closed: nilearn 0.14 leaves its own open
    drawn = plotting.plot_stat_map(small, **shown, **style, title=title, draw_cross=False, symmetric_cbar=False, figure=figure)
    if brain is not None:
        outline = image.new_img_like(scan, head.astype(np.float32))
        drawn.add_contours(image.resample_to_img(outline, background), levels=[0.5], colors="deepskyblue", linewidths=0.7)
    with whole(overlay) as partial:
        drawn.savefig(partial)
    plt.close(figure)
    if not interactive:
        return None
    viewer = plotting.view_img(small, **shown, **style, opacity=0.7, symmetric_cmap=False, width_view=900)
    return viewer.get_standalone()


def _draw_picture(
    file: str, heat: Path, title: str, overlay: Path, interactive: bool, mask: str | None, share: float
) -> str | None:
    """Write the PNG overlay of a picture. It has one slice, so its page needs no viewer beside: an empty one, if it is wanted."""
    files: list[str | Path] = [file, heat, *([mask] if mask else [])]
    drawn = [read_picture(path, channels=3).mean(0)[:, ::-1, 0] for path in files]  # figures are drawn from below upwards
    values = torch.from_numpy(drawn[1].copy())
    of = evidence_range(values, torch.ones_like(values, dtype=torch.bool), share)  # air of pictures is seldom 0
    panel = map_panel(drawn[0], drawn[1], title, drawn[2] > 0 if mask else None, of.middle, share)
    with whole(overlay) as partial:
        panel.save(partial)
    return "" if interactive else None


def masks_of(source: str | Path | None) -> dict[str, str]:
    """Of each image of a manifest the file of its mask, if a person has drawn one; none of any other source.

    Example:
        >>> masks_of("a_folder_of_scans")
        {}
    """
    path = manifest_path(source) if source is not None else None
    if path is None or path.suffix != ".json" or not path.is_file():
        return {}
    listed = [entry for entries in load_manifest(path).entries.values() for entry in entries]
    return {entry["image"]: entry["mask"] for entry in listed if "mask" in entry}


def map_threshold(folder: Path) -> float:
    """The share of the way from a map's median to its maximum from which on it counts, as inference was told."""
    try:
        return float(json.loads((folder / "settings.json").read_text())["map_threshold"])
    except (OSError, ValueError, KeyError, TypeError):  # of a version that did not write it
        return 0.5


def write_report(output_dir: str | Path, max_viewers: int = 50, source: str | Path | None = None) -> Path:
    """Overlays and `report.html` of a folder that inference wrote: predictions.csv, maps, failures.csv.

    Under torchrun the main process alone writes.

    Args:
        output_dir: the folder; `overlays/` and `report.html` are written there.
        max_viewers: subjects with an interactive viewer; the others have their line in the table and their overlay.
        source: what inference was run on; where it is a manifest with masks, those of pictures are outlined.

    Returns:
        path of the page.

    Raises:
        FileNotFoundError: the folder holds no predictions.csv.

    Example:
        >>> write_report("bundle/eval")  # doctest: +SKIP
    """
    folder = Path(output_dir)
    path = folder / "report.html"
    if not is_main_process():
        return path
    rows, masks, share = read_predictions(folder), masks_of(source), map_threshold(folder)
    with writing(folder / "overlays"):
        (folder / "overlays").mkdir(exist_ok=True)
    lines: list[str] = []
    viewers: list[dict[str, str]] = []
    for row in tqdm(rows, desc="report", unit="subject"):
        subject, predicted = row.get("subject", ""), row.get("predicted", "")
        probability = float(row[f"probability_{predicted}"])
        action = "no map"
        heat = written_map(folder, subject)
        if heat.is_file():
            overlay = folder / "overlays" / f"{subject}.png"
            title = f"{subject}: {predicted} (p = {probability:.2f})"
            if is_unlike(row):
                title += ", not to be trusted"
            if row.get("map_class", predicted) not in ("", predicted):
                title += f", map of {row['map_class']}"
            room = len(viewers) < max_viewers
            if is_picture(heat):
                viewer = _draw_picture(row["file"], heat, title, overlay, room, masks.get(row["file"]), share)
            else:
                cut = folder / "maps" / f"{subject}_brain.nii.gz"
                brain: Any = nib.load(cut) if cut.is_file() else None
                viewer = _draw_subject(read_nifti(row["file"]), nib.load(heat), title, overlay, room, share, brain)
            action = f'<a href="overlays/{html.escape(subject)}.png">overlay</a>'
            if viewer is not None:
                picture = "data:image/png;base64," + b64encode(overlay.read_bytes()).decode()
                action = f'<button onclick="show({len(viewers)})">show</button>'
                viewers.append({"name": title, "page": viewer, "overlay": picture})
        where = f' id="row{len(viewers) - 1}"' if "button" in action else ""
        said = predicted + (" ?" if is_unlike(row) else "")
        noted = "; ".join(row[key] for key in (CHECK, HEAD) if row.get(key) and row[key] not in ORDINARY)
        lines.append(
            f"<tr{where}><td>{html.escape(subject)}</td><td>{html.escape(said)}</td>"
            f'<td class="n">{probability:.3f}</td><td>{action}</td><td class="{"failed" if is_unlike(row) else "note"}">'
            f"{html.escape(noted)}</td></tr>"
        )
    failures = folder / "failures.csv"
    failed = [
        f'<li class="failed">{html.escape(f["subject"])}: {html.escape(f["error"])}</li>'
        for f in (read_csv(failures) if failures.is_file() else [])
    ]
    classes = {row.get("map_class") or row["predicted"] for row in rows}
    alike = len(classes) == 1 and len({row["predicted"] for row in rows}) > 1
    shown = f"'{html.escape(next(iter(classes)))}'" if alike else "the predicted class, or of the one that its row names"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    data = json.dumps(viewers).replace("</", "<\\/")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>HR-CAM report</title><style>{STYLE}</style>'
        f"<h1>HR-CAM report</h1><p>{len(rows)} subjects, made {made}. Colour is the class map of {shown}, "
        f"in logit units above its median in the head, from {share:.0%} of the way to its maximum on, as in the label maps; "
        "planes pass through its maximum, along the scan's own axes. "
        "Research software; not a diagnosis.</p>"
        "<table><tr><th>subject</th><th>predicted</th><th>probability</th><th>map</th><th>unusual</th></tr>"
        + "".join(lines)
        + "</table>"
        + (f"<h2>Not processed</h2><ul>{''.join(failed)}</ul>" if failed else "")
        + '<h2 id="name"></h2><iframe id="frame" title="viewer"></iframe><img id="overlay" alt="">'
        + f'<script type="application/json" id="viewers">{data}</script><script>{SCRIPT}</script></html>'
    )
    write_text(path, page)
    logger.info("report: %s", path.resolve())
    print(f"report: {path.resolve()}")
    return path

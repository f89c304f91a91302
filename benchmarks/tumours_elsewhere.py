"""Shipped tumour weights on scans of other scanners, slice by slice: whatever comes out.

python benchmarks/tumours_elsewhere.py --data ../shared/data --plain work/tumours/brain_tumor_t1ce_0_0/run/base_cnn.pt

Two gliomas of BraTS 2013, whose skulls are stripped, which the network has never seen; one whole head in thick slices with an
enhancing lesion, whose kind its source does not tell. Of each slice the
map of the class that the network predicts is scored: a user has no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, ROOT, RealData, environment, table, write_json
from monai.data import MetaTensor
from monai.transforms import Orientation
from tumour_scores import OURS, RIVAL, maps_of, peers_of
from tumours import CLASSES, overlays

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.compare.maps import Candidate, PeerMaps
from hrcam_monai.data.reading import read_scan
from hrcam_monai.input_check import CheckInputd, is_unlike
from hrcam_monai.metrics.localization import localization_scores
from hrcam_monai.transforms import split_reading
from hrcam_monai.workflows.configs import bundle_parser

NAME = "brain_tumor_t1ce"
BRATS = "glioma_t1ce/brats_2013_pat000{}_1__{}.nii.gz"
BRATS_FILES = ("T1c_subtrMeanDivStd", "OTMultiClass", "brainmask")
LESION = "enhancing_lesion_t1ce/brain1_{}.nrrd"
SCANS: dict[str, tuple[list[str], tuple[int, ...]]] = {
    # image, lesion, brain; labels of the lesion that a contrast-enhanced T1 shows (oedema is seen on other scans)
    "BraTS 1": ([BRATS.format(1, f) for f in BRATS_FILES], (1, 3, 4)),
    "BraTS 2": ([BRATS.format(2, f) for f in BRATS_FILES], (1, 3, 4)),
    "whole head": ([LESION.format(f) for f in ("image", "label")], (1,)),
}
SMALLEST = 0.001  # share of the slice; less than this of a lesion is its edge


def slices(data: Path, scan: str) -> Iterator[tuple[MetaTensor, MetaTensor]]:
    """Axial slices [1, X, Y, 1] that show the lesion, and their masks."""
    files, labels = SCANS[scan]
    upright = Orientation("RAS", labels=None)
    volume, drawn, *brain = (upright(read_scan(str(data / f), blank=i > 0)) for i, f in enumerate(files))
    for mask in brain:  # z-scored, so that 0 is the brain's mean; what is outside becomes as dark as air
        volume[mask < 0.5] = volume.min()
    shown = torch.isin(drawn.as_tensor().round(), torch.tensor([float(v) for v in labels]))
    for z in range(volume.shape[3]):
        own = shown[..., z : z + 1]
        if own.float().mean() >= SMALLEST:
            yield volume[..., z : z + 1], MetaTensor(own.float(), meta=dict(volume.meta))


def rows(
    ours: Candidate, peers: Sequence[PeerMaps], prepare: Any, check: CheckInputd, data: Path, scan: str
) -> Iterator[dict[str, Any]]:
    """A row a map and slice; whether the slice is unlike those of the training with it."""
    for image, mask in slices(data, scan):
        item = prepare({"image": image, "mask": mask})
        x, inside = item["image"].as_tensor()[None], item["mask"].as_tensor()[0].numpy() > 0.5
        if not inside.any():
            continue
        predicted, marked = int(ours.logits(x).argmax()), is_unlike(check({"image": x[0]}))
        for method, heat in maps_of(ours, peers, x, predicted)[1].items():
            if method in (OURS, RIVAL):
                scores = localization_scores(heat.numpy(), inside)
                yield {"method": method, "predicted": CLASSES[NAME][predicted], "unlike": marked, **scores}


def main(
    data: RealData,
    plain: Annotated[Path, typer.Option(help="Weights of the plain CNN of the same run.")],
    weights: Annotated[Path, typer.Option(help="Ours.")] = ROOT / "bundle" / "models" / NAME / "model.pt",
) -> None:
    """Score every slice with a lesion, print the table and write benchmarks/results/tumours_elsewhere.json."""
    torch.set_num_threads(1)
    bundle = ROOT / "bundle"
    ours, classifier = (load_candidate(bundle, f"{n}={f}", overlays(NAME)) for n, f in (("ours", weights), ("plain", plain)))
    _, prepare = split_reading(bundle_parser(bundle, overlays(NAME)).get_parsed_content("preprocessing"))
    check = CheckInputd(weights, ours.network, slice_axis=2)
    found = []
    for scan in SCANS:
        own = list(rows(ours, peers_of(classifier), prepare, check, data, scan))
        predicted = [r["predicted"] for r in own if r["method"] == OURS]
        for method in (OURS, RIVAL):
            of = [r for r in own if r["method"] == method]
            line = {key: float(np.mean([r[key] for r in of])) for key in ("pixel_ap", "best_dice", "pointing")}
            found.append({"scan": scan, "method": method, "slices": len(of), **line})
        found[-2]["unlike"] = sum(r["unlike"] for r in own if r["method"] == OURS)
        found[-2]["predicted"] = {c: predicted.count(c) for c in CLASSES[NAME] if c in predicted}
    head = ["scan", "map", "slices", "pixel AP", "Dice, best", "pointing", "predicted", "unlike the training"]
    lines = []
    for f in found:
        numbers = [f"{f[k]:.3f}" for k in ("pixel_ap", "best_dice", "pointing")]
        counted = ", ".join(f"{c} {n}" for c, n in f.get("predicted", {}).items())
        lines.append([f["scan"], f["method"], str(f["slices"]), *numbers, counted, str(f.get("unlike", ""))])
    typer.echo(table(head, lines))
    write_json(RESULTS / "tumours_elsewhere.json", {**environment(0), "scans": found})


if __name__ == "__main__":
    typer.run(main)

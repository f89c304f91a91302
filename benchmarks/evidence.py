"""Write docs/results.md from the comparisons of benchmarks/results. Every number in it comes from those files.

    python benchmarks/evidence.py

`make evidence` trains three seeds of every network, compares them on both test sets, and calls this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import RESULTS, ROOT, table

from hrcam_monai.compare.maps import READ_ALIKE

PAGE = ROOT / "docs" / "results.md"
TEXT = Path(__file__).parent / "results.md.in"  # the page's words; {tables} are put in
SETS = ("simulated", "second")
GRADES = ("plain", "moderate", "faint", "all")
JOINT, TWO_STAGE, FITTED, BASE = "HR-CAM, joint", "HR-CAM, two-stage", "HR-CAM, fitted", "(base)"
LAYERCAM, GRADCAM = "TorchCAM LayerCAM", "MONAI Grad-CAM (base)"
MEASURES = {"best_dice": 3, "fixed_dice": 3, "pointing": 2, "peak_distance_mm": 0, "energy": 3, "froc": 2}  # and their digits
LEARNT = 0.6  # AUC from which on a classifier is worth being explained
MISSING = "Not measured yet; `make evidence` does."
Study = dict[str, Any]


def load_studies(folder: Path, name: str) -> list[Study]:
    """The comparisons of one test set, one a seed."""
    return [json.loads(p.read_text()) for p in sorted(folder.glob(f"compare_{name}_*.json"))]


def having(studies: Sequence[Study], method: str) -> list[Study]:
    """The comparisons that measured this method: the costly ones are measured with the first seed only."""
    return [s for s in studies if any(x["method"] == method for x in s["localization"])]


def line(study: Study, method: str, group: str = "all") -> dict[str, Any]:
    """A method's line of a comparison."""
    return next(x for x in study["localization"] if x["method"] == method and x["group"] == group)


def auc(study: Study, network: str, group: str = "all") -> float:
    """AUC of a network."""
    return float(next(x for x in study["classification"] if x["network"] == network and x["group"] == group)["auc"])


def best_layercam(study: Study, key: str, alike: bool = False) -> dict[str, Any]:
    """The LayerCAM variant on the base CNN that is best by this measure, chosen with the masks; plain, or read as HR-CAM is."""
    found = [x for x in study["localization"] if x["method"].startswith(LAYERCAM) and BASE in x["method"] and x["group"] == "all"]
    return max((x for x in found if (READ_ALIKE in x["method"]) == alike), key=lambda x: x[key])


def against_alike(study: Study) -> float | None:
    """Pixel AP of the joint map over that of the best LayerCAM read alike, if that was measured."""
    if not any(READ_ALIKE in x["method"] for x in study["localization"]):
        return None
    return ap(study, JOINT) / float(best_layercam(study, "pixel_ap", alike=True)["pixel_ap"])


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean over the seeds, and each seed."""
    each = ", ".join(f"{v:.{digits}f}" for v in values)
    return f"**{np.mean(values):.{digits}f}** ({each})"


def average(studies: Sequence[Study], method: str, key: str, group: str = "all") -> float:
    """Mean over the seeds of one measure of a method."""
    return float(np.mean([line(s, method, group)[key] for s in studies]))


def methods_table(studies: Sequence[Study]) -> str:
    """Every method over all grades: mean over the seeds of the measures, AP by grade, the range of AP over seeds."""
    names = dict.fromkeys(x["method"] for s in studies for x in s["localization"])
    rows = []
    for name in names:
        own = having(studies, name)
        each = [ap(s, name) for s in own]
        row = [name, f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" if len(each) > 1 else f"{each[0]:.3f}"]
        row += [f"{average(own, name, 'pixel_ap', g):.3f}" for g in GRADES[:3]]
        row += [f"{average(own, name, key):.{digits}f}" for key, digits in MEASURES.items()]
        rows.append((np.mean(each), row))
    head = ["method", "pixel AP (range of seeds)", "plain", "moderate", "faint", "best Dice", "Dice at half"]
    ordered = [row for _, row in sorted(rows, key=lambda pair: -pair[0])]
    return table([*head, "pointing", "peak off, mm", "energy", "FROC"], ordered)


def auc_table(studies: Sequence[Study]) -> str:
    """AUC of each network by grade, mean over the seeds."""
    networks = list(dict.fromkeys(x["network"] for x in studies[0]["classification"]))
    rows = [[n, *[f"{np.mean([auc(s, n, g) for s in studies]):.3f}" for g in GRADES]] for n in networks]
    return table(["network", *GRADES], rows)


def intervals_table(studies: Sequence[Study]) -> str:
    """Pixel AP of the first seed with its bootstrap interval over subjects."""
    study = studies[0]
    readings = (False, True) if against_alike(study) else (False,)
    layercams = [best_layercam(study, "pixel_ap", alike)["method"] for alike in readings]
    chosen = [JOINT, FITTED, TWO_STAGE, *layercams, GRADCAM]
    rows = []
    for name in chosen:
        cells = [line(study, name, g) for g in GRADES]
        rows.append([name, *["{:.3f} [{:.3f}, {:.3f}]".format(c["pixel_ap"], *c["pixel_ap_ci95"]) for c in cells]])
    return table(["method, seed 0", *[f"{g}, n = {line(study, JOINT, g)['subjects']}" for g in GRADES]], rows)


def displacement_table(studies: Sequence[Study]) -> str:
    """Mean shift of the networks' own maps in voxels, by axis; each seed."""
    rows = []
    for network in studies[0]["displacement"]:
        for part in studies[0]["displacement"][network]:
            cells = []
            for axis in ("axis0", "axis1"):
                cells.append(", ".join(f"{s['displacement'][network][part][axis]['voxels']:+.2f}" for s in studies))
            rows.append([network, part, *cells])
    return table(["network", "part", "left-right, voxels (each seed)", "back-front, voxels (each seed)"], rows)


def ap(study: Study, method: str) -> float:
    """Pixel AP of a method over all grades."""
    return float(line(study, method)["pixel_ap"])


def moved(study: Study) -> float:
    """Largest mean shift of the joint network's own map along an axis, voxels."""
    return max(abs(axis["voxels"]) for axis in study["displacement"]["joint"]["map"].values())


# what is aimed at, its bound, how it is measured on one comparison; the bound is a floor unless it starts with <
TARGETS: list[tuple[str, str, Callable[[Study], float | None]]] = [
    ("pixel AP, joint / best LayerCAM", ">= 1.15", lambda s: ap(s, JOINT) / best_layercam(s, "pixel_ap")["pixel_ap"]),
    ("pixel AP, joint / best LayerCAM read as HR-CAM", ">= 1", against_alike),
    ("pixel AP, two-stage as published / Grad-CAM", ">= 4", lambda s: ap(s, TWO_STAGE) / ap(s, GRADCAM)),
    ("pixel AP, two-stage with fit_head / Grad-CAM", ">= 4", lambda s: ap(s, FITTED) / ap(s, GRADCAM)),
    ("energy inside, joint / best LayerCAM", ">= 1", lambda s: line(s, JOINT)["energy"] / best_layercam(s, "energy")["energy"]),
    ("displacement of the joint map, voxels", "< 1", moved),
    ("AUC, joint minus base CNN", ">= -0.01", lambda s: auc(s, "joint") - auc(s, "base")),
    ("pointing game, joint, plain lesions", ">= 0.9", lambda s: line(s, JOINT, "plain")["pointing"]),
]


DENSE_TARGETS: list[tuple[str, str, Callable[[Study], float]]] = [
    ("DenseNet121: AUC, fit_head minus the classifier's own", ">= -0.02", lambda s: auc(s, "fitted") - auc(s, "base")),
    ("DenseNet121: pixel AP, fit_head / Grad-CAM", ">= 1", lambda s: ap(s, FITTED) / ap(s, GRADCAM)),
]


def target_row(name: str, bound: str, values: Sequence[float]) -> list[str]:
    """The mean over seeds decides, each seed is shown."""
    sign, limit = bound.split()
    met = np.mean(values) < float(limit) if sign == "<" else np.mean(values) >= float(limit)
    return [name, bound, spread(values), "met" if met else "MISSED"]


def targets_table(studies: dict[str, list[Study]], unet: dict[str, Any] | None, dense: dict[str, Study]) -> str:
    """What was aimed at, by test set."""
    rows = []
    for name, found in studies.items():
        for what, bound, value in TARGETS:
            measured = [v for s in found if (v := value(s)) is not None]
            rows += [target_row(f"{what} ({name})", bound, measured)] if measured else []
        if unet is not None and name in unet["results"]:
            ceiling = unet["results"][name]["all"]["pixel_ap"]["mean"]
            rows.append(
                target_row(f"pixel AP, joint / U-Net with masks ({name})", ">= 0.7", [ap(s, JOINT) / ceiling for s in found])
            )
        if name in dense:
            learnt = auc(dense[name], "base") >= LEARNT
            for what, bound, value in DENSE_TARGETS:
                row = target_row(f"{what} ({name})", bound, [value(dense[name])])
                rows.append(row if learnt else [*row[:3], "not judged: the classifier is at chance"])
    return table(["what", "target", "mean (each seed)", ""], rows)


def unet_table(unet: dict[str, Any]) -> str:
    """The pixel-supervised U-Net by test set and grade."""
    rows = [
        [
            name,
            *[
                f"{found[g]['pixel_ap']['mean']:.3f} [{found[g]['pixel_ap']['low']:.3f}, {found[g]['pixel_ap']['high']:.3f}]"
                for g in GRADES
            ],
        ]
        for name, found in unet["results"].items()
    ]
    return table(["U-Net with masks: pixel AP", *GRADES], rows)


def environment_text(study: Study) -> str:
    """Machine and versions of one study."""
    machine, versions = study["machine"], ", ".join(f"{k} {v}" for k, v in study["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {'GPU ' + machine['gpu'] if machine['gpu'] else 'no GPU'}; {versions}"


def optional(folder: Path, name: str) -> dict[str, Any] | None:
    """A result that may not be there."""
    path = folder / name
    return json.loads(path.read_text()) if path.is_file() else None


def page(folder: Path = RESULTS) -> str:
    """The whole of docs/results.md; what has not been measured says so."""
    studies = {name: load_studies(folder, name) for name in SETS}
    there = {name: found for name, found in studies.items() if found}
    unet, checks = (optional(folder, f"{n}.json") for n in ("unet", "sanity"))
    dense = {name: found for name in SETS if (found := optional(folder, f"densenet_{name}.json"))}
    first = next(iter(there.values()))
    seeds = ", ".join(str(i) for i in sorted({s["seed"] for found in there.values() for s in found}))
    parts = {"targets": targets_table(there, unet, dense), "environment": environment_text(first[0]), "seeds": seeds}
    for name, found in studies.items():
        parts[f"{name}_methods"] = methods_table(found) if found else MISSING
        parts[f"{name}_auc"] = auc_table(found) if found else ""
        parts[f"{name}_intervals"] = intervals_table(found) if found else ""
    parts["displacement"] = displacement_table(first)
    parts["unet"] = unet_table(unet) if unet else MISSING
    parts["sanity"] = sanity_table(checks) if checks else MISSING
    parts["densenet"] = densenet_table(dense) if dense else MISSING
    text = TEXT.read_text()
    for key, value in parts.items():
        text = text.replace("{" + key + "}", value.rstrip())
    return text


def sanity_table(checks: dict[str, Any]) -> str:
    """Weight randomisation, completeness and stability."""
    rows = [[c["layer"], f"{c['correlation']:+.3f}", f"{c['absolute']:.3f}"] for c in checks["randomization"]]
    text = table(["randomised from the output to", "correlation with the original map", "its absolute value"], rows)
    text += f"\nCompleteness: the largest |pool(map) - logit| is {checks['completeness']:.1e}. "
    return text + f"Stability: maps correlate {checks['stability']:.3f} with those of the image under 2 % noise."


def densenet_table(studies: dict[str, Study]) -> str:
    """fit_head on DenseNet121, and Grad-CAM on the same network."""
    rows = []
    for name, study in studies.items():
        for method, network in ((FITTED, "fitted"), (GRADCAM, "base")):
            found = line(study, method)
            cells = [f"{auc(study, network):.3f}", f"{found['pixel_ap']:.3f}"]
            rows.append([name, method, *cells, f"{found['pointing']:.2f}", f"{found['energy']:.3f}"])
    return table(["test set", "maps", "AUC", "pixel AP", "pointing", "energy"], rows)


def main(
    folder: Annotated[Path, typer.Option(help="Where the results are.")] = RESULTS,
    output: Annotated[Path, typer.Option(help="The page.")] = PAGE,
) -> None:
    """Write the page anew."""
    output.write_text(page(folder))
    typer.echo(f"page: {output}")


if __name__ == "__main__":
    typer.run(main)

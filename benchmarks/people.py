"""What a network that was trained on people finds in people never seen: docs/people.md, from what `hrcam compare` wrote.

python benchmarks/people.py --second work/second --compared work/people_compare_0 --compared work/people_compare_1

What `people_ceiling.py` found is read from the results of the repository, where it is there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import RESULTS, ROOT, fill, table, write_json
from evidence import GRADES, Study, auc, average, having, line, optional, spread, target_row

from hrcam_monai.data import load_manifest
from hrcam_monai.metrics import bootstrap_interval
from hrcam_monai.metrics.classification import calibration_error

NETWORK, OURS = "people", "HR-CAM, people"
KINDS = ("bright", "dark", "mixed")
MEASURES = ("best_dice", "pointing", "energy")  # shown beside pixel AP


def by_kind(rows: Sequence[Mapping[str, str]], kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Pixel AP of our maps of heads whose lesions are all bright, all dark, or both: mean, interval, and how many."""
    found = {}
    for name in KINDS:
        own = np.array([float(r["pixel_ap"]) for r in rows if kinds[r["subject"]] == name])
        found[name] = {"subjects": len(own), "pixel_ap": float(own.mean())}
        found[name]["ci95"] = list(bootstrap_interval(lambda x: float(x.mean()), own))
    return found


def answers(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Of how many heads our network says abnormal, and its calibration error; without masks and thresholds of the test."""
    own = [r for r in rows if r["network"] == NETWORK and r["probability"]]
    heads = {r["subject"]: (int(r["label"]), float(r["probability"])) for r in own}
    labels, p = (np.array(values) for values in zip(*heads.values(), strict=True))
    called = {
        name: [int((p[labels == i] > 0.5).sum()), int((labels == i).sum())] for i, name in enumerate(("normal", "abnormal"))
    }
    return {"called_abnormal": called, "calibration_error": calibration_error(labels, np.stack([1 - p, p], axis=1))}


def gathered(compared: Path, kinds: Mapping[str, str]) -> Study:
    """What is kept of one comparison: machine, seed, classification, localization, and pixel AP by the kind of lesion."""
    content = json.loads((compared / "comparison.json").read_text())
    with (compared / "per_subject.csv").open(newline="") as file:
        everything = list(csv.DictReader(file))
    rows = [r for r in everything if r["method"] == OURS and r["pixel_ap"]]
    kept = {k: content[k] for k in ("machine", "versions", "seed", "commit", "classification", "localization")}
    return kept | {"kinds": by_kind(rows, kinds), "answers": answers(everything)}


def peers(result: Study) -> list[str]:
    """The methods that are not ours."""
    return sorted({r["method"] for r in result["localization"] if not r["method"].startswith("HR-CAM")})


def best_peer(result: Study) -> float:
    """Pixel AP of the best map of the plain CNN, read as ours or not; its layer is chosen with the masks, which ours has not."""
    return max(float(line(result, m)["pixel_ap"]) for m in peers(result))


def targets(results: Sequence[Study], ceiling: Mapping[str, Any] | None) -> str:
    """What was aimed at, and what was found."""
    kinds = [r["kinds"] for r in results]
    rows = [
        ("AUC, plain lesions", 0.97, [auc(r, NETWORK, "plain") for r in results]),
        ("AUC, all", 0.85, [auc(r, NETWORK) for r in results]),
        ("pointing, plain lesions", 0.9, [line(r, OURS, "plain")["pointing"] for r in results]),
        (
            "pixel AP, ours / best peer read as ours or not",
            1.15,
            [line(r, OURS)["pixel_ap"] / best_peer(r) for r in results],
        ),
        ("pixel AP, bright / dark lesions", 0.8, [k["bright"]["pixel_ap"] / k["dark"]["pixel_ap"] for k in kinds]),
    ]
    if ceiling:
        told = ceiling["results"]["all"]["pixel_ap"]
        rows.append(("pixel AP, ours / our network told every voxel", 0.7, [line(r, OURS)["pixel_ap"] / told for r in results]))
    return table(
        ["what", "target", "mean (each seed)", ""], [target_row(name, f">= {least:g}", found) for name, least, found in rows]
    )


def ceiling_table(ceiling: Mapping[str, Any], results: Sequence[Study]) -> str:
    """Our network told every voxel of the same training heads, beside ours, by grade and by kind of lesion."""
    lines = []
    for name, found in ceiling["results"].items():
        ours = [r["kinds"][name]["pixel_ap"] if name in KINDS else line(r, OURS, name)["pixel_ap"] for r in results]
        lines.append([name, str(found["subjects"]), f"{found['auc']:.3f}", f"{found['pixel_ap']:.3f}", f"{np.mean(ours):.3f}"])
    head = ["lesions", "heads", "AUC, told every voxel", "pixel AP, told every voxel", "pixel AP, ours, mean of the seeds"]
    return f"`benchmarks/people_ceiling.py`, seed {ceiling['seed']}, {ceiling['epochs']} epochs:\n\n{table(head, lines)}"


def methods(results: Sequence[Study]) -> str:
    """Every map, best first."""
    names = sorted({r["method"] for r in results[0]["localization"]}, key=lambda m: -line(results[0], m)["pixel_ap"])
    lines = []
    for name in names:
        own = having(results, name)
        means = [average(own, name, "pixel_ap", g) for g in GRADES]
        rest = [average(own, name, m) for m in MEASURES]
        lines.append([name, *(f"{v:.3f}" for v in means), *(f"{v:.2f}" for v in rest)])
    return table(["map", *(f"pixel AP, {g}" for g in GRADES), "best Dice", "pointing", "energy"], lines)


def classification(results: Sequence[Study]) -> str:
    """AUC of each network by grade."""
    names = sorted({c["network"] for c in results[0]["classification"]}, reverse=True)
    lines = [[n, *(spread([auc(r, n, g) for r in results]) for g in GRADES)] for n in names]
    told = [r["answers"] for r in results]
    counts = {
        name: ", ".join(f"{a['called_abnormal'][name][0]} of {a['called_abnormal'][name][1]}" for a in told)
        for name in ("normal", "abnormal")
    }
    errors = spread([a["calibration_error"] for a in told])
    return (
        f"{table(['network, AUC', *GRADES], lines)}\n\nAt the threshold that validation people set, {NETWORK} calls abnormal: "
        f"of the normal heads {counts['normal']}, of the abnormal ones {counts['abnormal']}. "
        f"Calibration error (ten bins): {errors}."
    )


def page(results: Sequence[Study]) -> str:
    """The results as Markdown."""
    first = results[0]
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    made = f"{first['machine']['cpu']}; {versions}. Training seeds: {', '.join(str(r['seed']) for r in results)}."
    kinds = [f"{n} {first['kinds'][n]['subjects']}" for n in KINDS]
    counted = f"Heads by what their lesions are: {', '.join(kinds)}."
    ceiling = optional(RESULTS / "people", "ceiling.json")
    parts = [made, targets(results, ceiling), counted, classification(results), methods(results)]
    return "\n\n".join(parts + ([ceiling_table(ceiling, results)] if ceiling else []))


def main(
    second: Annotated[Path, typer.Option(help="Cohort of second_lesions.py.")],
    compared: Annotated[list[Path], typer.Option(help="Output of `hrcam compare` of one seed; may be repeated.")],
) -> None:
    """Gather, write a JSON file a seed, and fill docs/people.md from all that are there."""
    kinds = {str(e["subject"]): str(e["kind"]) for e in load_manifest(second).items("test")}
    for folder in compared:
        result = gathered(folder, kinds)
        write_json(RESULTS / "people" / f"second_{result['seed']}.json", result)
    results = [json.loads(p.read_text()) for p in sorted((RESULTS / "people").glob("second_*.json"))]
    text = page(results)
    fill(ROOT / "docs" / "people.md", "people", text)
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)

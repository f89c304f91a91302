"""Are the maps of healthy people empty? Peaks a head at an operating point that validation heads set, by site.

python benchmarks/healthy_heads.py --data ../shared/data --cohort work/cohort
python benchmarks/healthy_heads.py --data ../shared/data --cohort work/people/heads --weights work/people_0/model.pt \
    --site OASIS --page docs/people.md --output benchmarks/results/people/healthy_heads.json

Give the sites whose people did not train the weights; none has a lesion that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from common import RESULTS, ROOT, RealData, environment, fill, table, write_json
from monai.bundle import ConfigParser
from tqdm import tqdm
from tumour_scores import SENSITIVITY, Row, operating_point

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.compare.maps import Candidate
from hrcam_monai.data import load_manifest
from hrcam_monai.input_check import CheckInputd, is_unlike
from hrcam_monai.metrics import bootstrap_interval
from hrcam_monai.metrics.detection import peaks
from hrcam_monai.workflows.model_folder import fitting_parser

SITES = {"OASIS": "oasis_healthy_t1", "OpenNeuro ds002748": "anatomy_cc0", "OpenNeuro ds000011": "anatomy_pddl"}
POINTS = {"plain lesions": ("plain",), "any lesion": ("plain", "moderate", "faint")}


@torch.no_grad()
def read(
    candidate: Candidate, parser: ConfigParser, items: Sequence[Mapping[str, Any]], weights: Path, desc: str
) -> Iterator[Row]:
    """A row a head: grade, whether called abnormal and unlike, the heights of its map's peaks, the highest inside its mask."""
    preprocessing, spacing = parser.get_parsed_content("preprocessing"), parser["spacing"]
    check = CheckInputd(weights=weights, network=candidate.network, slice_axis=candidate.inferer.slice_axis)
    for item in tqdm(items, desc=desc, unit="head"):
        data = check(preprocessing(dict(item)))
        out = candidate.inferer(data["image"].as_tensor()[None], candidate.network)
        heat = out["maps"][0, 1]
        row: Row = {"subject": item["subject"], "abnormal": bool(out["logits"][0].argmax() == 1), "unlike": is_unlike(data)}
        row |= {"grade": item.get("grade", ""), "peaks": peaks(heat, spacing)[0].tolist()}
        inside = torch.as_tensor(data["mask"][0]) > 0.5 if "mask" in data else torch.zeros_like(heat, dtype=torch.bool)
        yield row | ({"inside": float(heat[inside].max())} if inside.any() else {})


def lines(site: str, rows: Sequence[Row], validation: Sequence[Row]) -> dict[str, Any]:
    """One site: how many are called abnormal or unlike, and false peaks a head at each operating point, with an interval."""
    found: dict[str, Any] = {"site": site, "heads": len(rows)}
    found |= {key: int(sum(r[key] for r in rows)) for key in ("abnormal", "unlike")}
    for name, grades in POINTS.items():
        point = operating_point([r for r in validation if r["grade"] in grades])
        counts = np.array([sum(height >= point for height in r["peaks"]) for r in rows])
        found[name] = {"point": point, "a_head": float(counts.mean()), "without": int((counts == 0).sum())}
        found[name]["ci95"] = list(bootstrap_interval(lambda c: float(c.mean()), counts))
    return found


def shown(content: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    heads = ["people", "heads", "called abnormal", "told to be unlike"]
    heads += [f"false peaks a head, {name}" for name in POINTS] + [f"heads without one, {name}" for name in POINTS]
    rows = []
    for site in content["sites"]:
        row = [site["site"], *(str(site[k]) for k in ("heads", "abnormal", "unlike"))]
        row += ["{a_head:.2f} [{ci95[0]:.2f}, {ci95[1]:.2f}]".format(**site[name]) for name in POINTS]
        rows.append(row + [str(site[name]["without"]) for name in POINTS])
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    points = ", ".join(f"{name} {content['sites'][0][name]['point']:.2f}" for name in POINTS)
    made_by = f"{content['machine']['cpu']}, one thread; {versions}. Operating points (height of the map): {points}."
    return f"{made_by}\n\n{table(heads, rows)}"


def main(
    data: RealData,
    cohort: Annotated[Path, typer.Option(help="Cohort that the weights were trained on; its validation heads set the points.")],
    weights: Annotated[Path, typer.Option(help="Network.")] = ROOT / "bundle" / "models" / "model.pt",
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "healthy_heads.json",
    site: Annotated[list[str] | None, typer.Option(help="May be repeated; all by default.")] = None,
    page: Annotated[Path, typer.Option(help="Document with a place for the table.")] = ROOT / "docs" / "whole_heads.md",
) -> None:
    """Measure, print, write, and fill a document."""
    torch.set_num_threads(1)
    if not data.is_dir():
        typer.echo(f"no real data at {data}; nothing is measured.")
        return
    candidate = load_candidate(ROOT / "bundle", f"shipped={weights}")
    parser = fitting_parser(weights, ROOT / "bundle")
    manifest = load_manifest(cohort)
    validation = list(read(candidate, parser, manifest.items("validation", masks=True), weights, "validation"))
    sites = {"validation heads, drawn": [r for r in validation if "inside" not in r]}
    for name in site or SITES:
        items = [{"image": str(p), "subject": p.name} for p in sorted((data / SITES[name]).glob("*.nii.gz"))]
        sites[name] = list(read(candidate, parser, items, weights, name))
    content = {**environment(0), "sensitivity": SENSITIVITY, "sites": [lines(n, r, validation) for n, r in sites.items()]}
    write_json(output, content)
    fill(page, "healthy_heads", shown(content))
    typer.echo(shown(content))


if __name__ == "__main__":
    typer.run(main)

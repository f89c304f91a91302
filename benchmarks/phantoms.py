"""HR-CAM beside Grad-CAM and LayerCAM on the folds of a cross-validation: maps from networks that have not seen the subject.

python benchmarks/phantoms.py --folds work/parkinson_nm_folds --name parkinson_nm
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from common import RESULTS, ROOT, environment, write_json

from hrcam_monai.compare.command import compare
from hrcam_monai.compare.table import comparison_summary, markdown
from hrcam_monai.metrics import summarize
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.csv_files import read_csv

PEERS = ("MONAI Grad-CAM", "TorchCAM LayerCAM")


def compare_fold(folds: Path, fold: Path, config: Path) -> list[dict[str, Any]]:
    """Rows of one fold's held-out subjects; what an earlier call has measured is kept."""
    networks = [f"joint={fold / 'model.pt'}", f"base={fold / 'base_cnn.pt'}"]
    output = folds / "compare" / fold.name
    options: dict[str, Any] = {"methods": PEERS, "panels": 3, "resume": True, "samples": 20}
    compare(fold, output, networks, ROOT / "bundle", overlays=[str(config)], **options)
    return list(read_csv(output / "per_subject.csv"))


def mean_difference(rows: list[dict[str, Any]], first: str, second: str, key: str) -> dict[str, float]:
    """Mean of the first method's measure less the second's on the same subjects, with its 95 % bootstrap interval."""
    found = [{r["subject"]: float(r[key]) for r in rows if r["method"] == name and r[key]} for name in (first, second)]
    return summarize([found[0][s] - found[1][s] for s in sorted(found[0].keys() & found[1].keys())])._asdict()


def main(
    folds: Annotated[Path, typer.Option(help="Folder that cross-validate wrote.")],
    name: Annotated[str, typer.Option(help="Of the result: benchmarks/results/phantom_NAME.json.")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Compare in every fold, pool, print and write."""
    config = folds / "configs" / "evaluate.json"
    by_fold = [compare_fold(folds, fold, config) for fold in sorted(folds.glob("fold_[0-9]*"))]
    rows = [row for fold in by_fold for row in fold]
    content = json.loads(config.read_text())
    classes = Classes.of(content["classes"], bool(content.get("first_is_finding")))
    summary = comparison_summary(rows, classes, seed=seed)
    shown = [line for line in summary["localization"] if line["group"] == "all"]
    typer.echo(markdown(summary | {"localization": shown}))
    others = [line["method"] for line in shown if "(base)" in line["method"]]
    paired: dict[str, dict[str, Any]] = {name: mean_difference(rows, "HR-CAM, joint", name, "pixel_ap") for name in others}
    for other, found in paired.items():
        # the interval holds the subjects' chance; how much networks differ shows in the folds, a network each
        found["folds"] = [mean_difference(fold, "HR-CAM, joint", other, "pixel_ap")["mean"] for fold in by_fold]
        each = ", ".join(f"{mean:+.3f}" for mean in found["folds"])
        typer.echo(
            f"pixel AP, HR-CAM less {other}: {found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]; folds {each}"
        )
    write_json(
        RESULTS / f"phantom_{name}.json",
        {
            **environment(seed),
            "comparison": summary,
            "paired_pixel_ap": paired,
            "cross_validation": json.loads((folds / "metrics.json").read_text()),
        },
    )


if __name__ == "__main__":
    typer.run(main)

"""HR-CAM beside MONAI's Grad-CAM on the same subjects: AUC by grade, pixel AP, best Dice, pointing game.

Grad-CAM runs on the last level of the plainly trained base CNN, slice by slice, without its per-image normaliser, which
would make the slices of a volume incomparable.

    python benchmarks/localization.py --cohort work/cohort --joint bundle/models/model.pt --base benchmarks/models/base_cnn.pt
"""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from monai.visualize import GradCAM
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.data import load_manifest
from hrcam_monai.engines import load_weights
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.metrics import best_dice, bootstrap_interval, pixel_average_precision, pointing_game, roc_auc
from hrcam_monai.report.figures import draw_map

BUNDLE = Path(__file__).parents[1] / "bundle"
MODELS = Path(__file__).parent / "models"
GRADES = ("plain", "moderate", "faint")
GRADCAM = "Grad-CAM, base CNN"


def parsed(weights: Path, network: str = "network", overlay: str | None = None) -> tuple[nn.Module, HRCAMInferer, Any]:
    """Network with weights, inferer and preprocessing of evaluate.json, with an overlay."""
    parser = ConfigParser()
    parser.read_config([BUNDLE / "configs" / f"{name}.json" for name in ("evaluate", overlay) if name])
    parser["bundle_root"] = str(BUNDLE)
    net = parser.get_parsed_content("backbone" if network == "backbone" else network)
    load_weights(net, weights)
    return net.eval(), parser.get_parsed_content("inferer"), parser.get_parsed_content("preprocessing")


def gradcam_volume(cam: GradCAM, net: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Grad-CAM of class 1, slice by slice, and the volume's logits: [1, 1, X, Y, Z] gives what the inferer gives."""
    slices = image.movedim(-1, 1)[0]
    heat = torch.cat([cam(x=part, class_idx=1).detach() for part in slices.split(40)])
    with torch.no_grad():
        logits = HRCAMInferer(slice_axis=2)(image, net)["logits"]
    return {"logits": logits, "maps": torch.cat([-heat, heat], 1).movedim(0, -1)[None]}


def score(methods: dict[str, Any], items: list[dict[str, Any]], preprocessing: Any) -> list[dict[str, Any]]:
    """One row for each subject and method."""
    rows = []
    for item in tqdm(items, desc="localization", unit="subject"):
        data = preprocessing(item)
        image = data["image"].as_tensor()[None]
        mask = data["mask"][0].numpy() > 0.5
        for name, run in methods.items():
            with torch.set_grad_enabled(name == GRADCAM):
                out = run(image)
            row = {"method": name, "subject": item["subject"], "grade": item["grade"], "label": item["label"]}
            row["score"] = float(out["logits"][0, 1] - out["logits"][0, 0])
            if item["label"] and mask.any():
                heat = out["maps"][0, 1].numpy()
                row |= {"ap": pixel_average_precision(heat, mask), "dice": best_dice(heat, mask)}
                row |= {"pointing": float(pointing_game(heat, mask)), "chance": float(mask.mean())}
            rows.append(row)
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each method and grade, and over all grades."""
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        for grade in (*GRADES, "all"):
            own = [r for r in rows if r["method"] == method and (r["label"] == 0 or grade in (r["grade"], "all"))]
            scores = 1 / (1 + np.exp(-np.array([r["score"] for r in own])))
            labels = np.array([r["label"] for r in own])
            found = [r for r in own if "ap" in r]
            line = {
                "method": method,
                "grade": grade,
                "subjects": len(found),
                "auc": roc_auc(labels, np.stack([1 - scores, scores], 1)),
            }
            line |= {k: float(np.mean([r[k] for r in found])) for k in ("ap", "dice", "pointing", "chance")}
            line["ap_ci95"] = bootstrap_interval(np.mean, np.array([r["ap"] for r in found]))
            lines.append(line)
    return lines


def markdown(lines: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    text = (
        "| method | grade | n | AUC | pixel AP [95 %] | best Dice | pointing | chance AP |\n|---|---|---|---|---|---|---|---|\n"
    )
    for x in lines:
        low, high = x["ap_ci95"]
        text += f"| {x['method']} | {x['grade']} | {x['subjects']} | {x['auc']:.3f} | {x['ap']:.3f} [{low:.3f}, {high:.3f}] "
        text += f"| {x['dice']:.3f} | {x['pointing']:.2f} | {x['chance']:.4f} |\n"
    return text


def comparison_figure(methods: dict[str, Any], items: list[dict[str, Any]], preprocessing: Any, path: Path) -> None:
    """One row a subject: the slice with most lesion, then each method's map on it, each on its own colour scale."""
    figure = Figure(figsize=(2.6 * (len(methods) + 1), 3.1 * len(items)), layout="constrained")
    axes = figure.subplots(len(items), len(methods) + 1, squeeze=False)
    for line, item in zip(axes, items, strict=True):
        data = preprocessing(item)
        image, mask = data["image"].as_tensor(), data["mask"][0].numpy() > 0.5
        z = int(mask.sum((0, 1)).argmax())
        draw_map(line[0], image[0, :, :, z].numpy(), mask=mask[:, :, z])
        line[0].set_title(f"{item['subject']}, {item['grade']}", fontsize=9)
        for ax, (name, run) in zip(line[1:], methods.items(), strict=True):
            with torch.set_grad_enabled(name == GRADCAM):
                heat = run(image[None])["maps"][0, 1].numpy()
            draw_map(ax, image[0, :, :, z].numpy(), np.clip(heat[:, :, z], 0, None), mask[:, :, z])
            ax.set_title(name, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main(
    cohort: Annotated[Path, typer.Option(help="Simulated cohort.")],
    joint: Annotated[Path, typer.Option(help="Weights of train.json.")] = BUNDLE / "models" / "model.pt",
    base: Annotated[Path, typer.Option(help="Base CNN.")] = MODELS / "base_cnn.pt",
    two_stage: Annotated[Path, typer.Option(help="Weights of two_stage.json.")] = Path(__file__).parent
    / "models"
    / "two_stage.pt",
    split: str = "test",
    output: Annotated[Path | None, typer.Option(help="JSON file of the results.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG of three subjects; no table then.")] = None,
) -> None:
    """Print the table, write it as JSON, or draw the figure."""
    net, inferer, preprocessing = parsed(joint)
    paper, paper_inferer, _ = parsed(two_stage, overlay="two_stage")
    cnn = parsed(base, "backbone")[0]
    # MONAI never removes Grad-CAM's hooks, so there is one for all subjects
    cam = GradCAM(nn_module=cnn, target_layers=f"stages.{len(cnn.stages) - 1}", postprocessing=lambda x: x)
    methods = {
        "HR-CAM, joint": lambda x: inferer(x, net),
        "HR-CAM, two-stage": lambda x: paper_inferer(x, paper),
        GRADCAM: lambda x: gradcam_volume(cam, cnn, x),
    }
    items = load_manifest(cohort).items(split, masks=True)
    if figure is not None:
        chosen = [next(i for i in items if i["grade"] == grade) for grade in GRADES]
        comparison_figure(methods, chosen, preprocessing, figure)
        typer.echo(f"figure: {figure}")
        return
    start = time.time()
    lines = summary(score(methods, items, preprocessing))
    typer.echo(markdown(lines))
    made = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {p: version(p) for p in ("torch", "monai", "hrcam-monai")},
        "cohort": json.loads((cohort / "simulation.json").read_text()),
        "split": split,
        "seconds": round(time.time() - start),
        "results": lines,
    }
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(made, indent=1))


if __name__ == "__main__":
    typer.run(main)

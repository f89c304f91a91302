"""Sanity of the shipped maps: weight randomisation, completeness, stability under noise.

python benchmarks/sanity.py --cohort work/cohort
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from common import RESULTS, environment, write_json
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.compare.command import load_candidate
from hrcam_monai.data import load_manifest
from hrcam_monai.metrics import completeness_error, randomization_curve, stability
from hrcam_monai.workflows.configs import bundle_parser

DRAWN = 5  # subjects whose maps are read from randomised networks
BUNDLE = Path(__file__).parents[1] / "bundle"


def main(
    cohort: Annotated[Path, typer.Option(help="Cohort with masks; abnormal subjects of its test split are used.")],
    weights: Annotated[Path, typer.Option(help="Network to test.")] = BUNDLE / "models" / "model.pt",
    subjects: Annotated[int, typer.Option(help="How many.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the random weights and noise.")] = 0,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "sanity.json",
) -> None:
    """Measure, print and write."""
    candidate = load_candidate(BUNDLE, f"joint={weights}")
    inferer = candidate.inferer
    preprocessing = bundle_parser(BUNDLE).get_parsed_content("preprocessing")
    items = [i for i in load_manifest(cohort).items("test", masks=True) if i["label"] == 1][:subjects]
    images = [preprocessing(item)["image"].as_tensor() for item in tqdm(items, desc="read", unit="subject")]

    def read(network: nn.Module, x: Tensor) -> Tensor:
        return inferer(x, network)["maps"][0, 1]

    errors, steady = [], []
    with torch.no_grad():
        for image in tqdm(images, desc="completeness and stability", unit="subject"):
            out = inferer(image[None], candidate.network)
            errors.append(
                float(completeness_error(out["logits"], out["maps"], pooling=inferer.pooling, sharpness=inferer.sharpness))
            )
            steady.append(stability(lambda x: read(candidate.network, x), image, seed=seed))
    curve = randomization_curve(candidate.network, read, images[:DRAWN], seed=seed, every=3)
    result: dict[str, Any] = {
        "subjects": len(images),
        "completeness": max(errors),
        "stability": sum(steady) / len(steady),
        "randomization": [step._asdict() for step in curve],
    }
    typer.echo(f"completeness {result['completeness']:.1e}, stability {result['stability']:.3f}")
    for step in curve:
        typer.echo(f"{step.layer}: {step.correlation:+.3f}, absolute {step.absolute:.3f}")
    write_json(output, {**environment(seed), **result})


if __name__ == "__main__":
    typer.run(main)

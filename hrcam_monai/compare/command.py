"""`python -m hrcam_monai compare`: the bundle's evaluation wiring, with several networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrcam_monai.compare.maps import Candidate
from hrcam_monai.compare.study import Comparison
from hrcam_monai.weights import load_weights, read_weights
from hrcam_monai.workflows.configs import bundle_parser
from hrcam_monai.workflows.model_folder import fitting_parser, weights_file
from hrcam_monai.workflows.model_settings import load_model, settings_file

__all__ = ["compare", "load_candidate"]


def load_candidate(bundle_root: Path, spec: str, overlays: Sequence[str] = ()) -> Candidate:
    """One `NAME=WEIGHTS[:OVERLAY[,OVERLAY]]`: HRCAMNet weights, or those of its backbone alone, a plain classifier.

    WEIGHTS may be a model folder. `overlays` come before its own; without either, weights with a record find their configs.

    Raises:
        ValueError: not of that form, weights of another network, or trained with other settings.
        FileNotFoundError: no such weights or overlay.
    """
    name, _, rest = spec.partition("=")
    file, _, listed = rest.partition(":")
    if not name or not file:
        raise ValueError(f"network '{spec}' is not of the form NAME=WEIGHTS[:OVERLAY].")
    named = [*overlays, *(o for o in listed.split(",") if o)]
    parser = bundle_parser(bundle_root, named)
    weights = weights_file(file)
    if not named and settings_file(weights).is_file():
        parser = fitting_parser(weights, bundle_root, workflow="evaluate")
    whole = "head.weight" in read_weights(weights)
    network = parser.get_parsed_content("network_def" if whole else "backbone")
    if whole:
        load_model(network, weights, parser.get_parsed_content("model_settings"))
    else:
        load_weights(network, weights)
    device = parser.get_parsed_content("device")
    return Candidate(name, network.to(device).eval(), parser.get_parsed_content("inferer"))


def compare(
    dataset_dir: Path,
    output_dir: Path,
    networks: Sequence[str],
    bundle_root: Path,
    split: str = "test",
    overlays: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """Compare the networks and the peers on one split of a cohort; options are `Comparison`'s.

    `overlays` are configs of the task: they reach the data and every network.

    Raises:
        ValueError, FileNotFoundError: see `load_candidate` and `Comparison`.
        SystemExit: status 1 at the end, if subjects could not be read.
    """
    candidates = [load_candidate(bundle_root, spec, overlays) for spec in networks]
    parser = bundle_parser(bundle_root, overlays, dataset_dir=str(dataset_dir), output_dir=str(output_dir), split=split)
    parser["comparison::candidates"] = candidates
    for key, value in {"output_dir": str(output_dir), **options}.items():
        parser[f"comparison::{key}"] = value
    comparison: Comparison = parser.get_parsed_content("comparison")
    summary = comparison.run()
    parser.get_parsed_content("failures").finish()
    return summary

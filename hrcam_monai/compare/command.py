"""`python -m hrcam_monai compare`: the bundle's evaluation wiring, with several networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from hrcam_monai.compare.maps import Candidate
from hrcam_monai.compare.study import Comparison
from hrcam_monai.data.manifest import load_manifest
from hrcam_monai.weights import load_weights, read_weights
from hrcam_monai.workflows.configs import bundle_parser
from hrcam_monai.workflows.model_folder import fitting_parser, weights_file
from hrcam_monai.workflows.model_settings import load_model, settings_file

__all__ = ["compare", "load_candidate"]


def load_candidate(bundle_root: Path, spec: str, overlays: Sequence[str] = (), classes: Sequence[str] | None = None) -> Candidate:
    """One `NAME=WEIGHTS[:OVERLAY[,OVERLAY]]`: HRCAMNet weights, or those of its backbone alone, a plain classifier.

    WEIGHTS may be a model folder. `overlays` come before its own; without either, weights with a record find their configs.
    `classes` are the cohort's, which a network with a record must have been trained with.

    Raises:
        ValueError: not of that form, weights of another network, or trained with other settings or classes.
        FileNotFoundError: no such weights or overlay.
    """
    name, weights, listed = _parts(spec)
    named = [*overlays, *listed]
    parser = _config(bundle_root, weights, named)
    weights = weights_file(weights)
    if classes is not None:
        parser["classes"] = list(classes)
    whole = "head.weight" in read_weights(weights)
    network = parser.get_parsed_content("network_def" if whole else "backbone")
    if whole:
        load_model(network, weights, parser.get_parsed_content("model_settings"))
    else:
        load_weights(network, weights)
    device = parser.get_parsed_content("device")
    return Candidate(name, network.to(device).eval(), parser.get_parsed_content("inferer"))


def _parts(spec: str) -> tuple[str, Path, list[str]]:
    """Name, weights and overlays of `NAME=WEIGHTS[:OVERLAY[,OVERLAY]]`."""
    name, _, rest = spec.partition("=")
    file, _, listed = rest.partition(":")
    if not name or not file:
        raise ValueError(f"network '{spec}' is not of the form NAME=WEIGHTS[:OVERLAY].")
    overlays = [o for o in listed.split(",") if o]
    return name, Path(file), overlays


def _config(bundle_root: Path, weights: Path, overlays: Sequence[str], **options: Any) -> ConfigParser:
    """The evaluation's config: laid over by what is named, or else as weights with a record were trained."""
    if overlays:
        return bundle_parser(bundle_root, overlays, **options)
    weights = weights_file(weights)
    if not settings_file(weights).is_file():
        return bundle_parser(bundle_root, (), **options)
    parser = fitting_parser(weights, bundle_root, workflow="evaluate")
    for key, value in options.items():
        parser[key] = value
    return parser


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

    `overlays` are configs of the task: they reach the data and every network. Without them the data are prepared as for the
    first network that has a record and needs none. Classes are the manifest's.

    Raises:
        ValueError, FileNotFoundError: see `load_candidate` and `Comparison`.
        SystemExit: status 1 at the end, if subjects could not be read.
    """
    classes = load_manifest(dataset_dir).classes
    candidates = [load_candidate(bundle_root, spec, overlays, classes) for spec in networks]
    told: dict[str, Any] = {"dataset_dir": str(dataset_dir), "output_dir": str(output_dir), "split": split, "classes": classes}
    alone = [weights_file(weights) for _, weights, own in map(_parts, networks) if not own]
    recorded = [weights for weights in alone if settings_file(weights).is_file()]
    first = recorded[0] if recorded and not overlays else None
    parser = _config(bundle_root, first, (), **told) if first else bundle_parser(bundle_root, overlays, **told)
    parser["comparison::candidates"] = candidates
    for key, value in {"output_dir": str(output_dir), **options}.items():
        parser[f"comparison::{key}"] = value
    comparison: Comparison = parser.get_parsed_content("comparison")
    summary = comparison.run()
    parser.get_parsed_content("failures").finish()
    return summary

"""`python -m hrcam_monai compare`: the bundle's evaluation wiring, with several networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from hrcam_monai.compare.maps import Candidate
from hrcam_monai.compare.study import Comparison
from hrcam_monai.model_settings import load_model
from hrcam_monai.weights import load_weights, read_weights


def bundle_parser(bundle_root: Path, overlays: Sequence[str] = (), workflow: str = "evaluate", **options: Any) -> ConfigParser:
    """A workflow's config with overlays: names of files in the bundle's configs, or paths.

    Raises:
        FileNotFoundError: no such config.
    """
    configs = bundle_root / "configs"
    files = [configs / f"{workflow}.json"]
    for overlay in overlays:
        named = configs / f"{overlay}.json"
        files.append(named if named.is_file() else Path(overlay))
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such config; give --bundle-root, or the name or path of an overlay.")
    parser = ConfigParser()
    parser.read_config(files)
    parser["bundle_root"] = str(bundle_root)
    for key, value in options.items():
        parser[key] = value
    return parser


def load_candidate(bundle_root: Path, spec: str, overlays: Sequence[str] = ()) -> Candidate:
    """One `NAME=WEIGHTS[:OVERLAY[,OVERLAY]]`: HRCAMNet weights, or those of its backbone alone, a plain classifier.

    `overlays` come before its own.

    Raises:
        ValueError: not of that form, weights of another network, or trained with other settings.
        FileNotFoundError: no such weights or overlay.
    """
    name, _, rest = spec.partition("=")
    file, _, listed = rest.partition(":")
    if not name or not file:
        raise ValueError(f"network '{spec}' is not of the form NAME=WEIGHTS[:OVERLAY].")
    parser = bundle_parser(bundle_root, [*overlays, *(o for o in listed.split(",") if o)])
    whole = "head.weight" in read_weights(file)
    network = parser.get_parsed_content("network_def" if whole else "backbone")
    if whole:
        load_model(network, file, parser.get_parsed_content("model_settings"))
    else:
        load_weights(network, file)
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

"""Inference and evaluation of a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import FoundBundle, Model, Overlays, Settings

__all__ = ["evaluate", "infer"]

Output = Annotated[Path, typer.Option(help="Folder of the results.")]


def infer(
    model: Model,
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of manifest.json, one image, or a folder of images or DICOM.")],
    output_dir: Output,
    setting: Settings = None,
    overlay: Overlays = None,
    bundle_root: FoundBundle = None,
) -> None:
    """Classes and maps of scans, by a model as it was trained: its folder tells how."""
    _run("inference", model, dataset_dir, output_dir, setting, overlay, bundle_root)


def evaluate(
    model: Model,
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of manifest.json.")],
    output_dir: Output,
    setting: Settings = None,
    overlay: Overlays = None,
    bundle_root: FoundBundle = None,
) -> None:
    """How well a model classifies and marks, as it was trained: its folder tells how."""
    _run("evaluate", model, dataset_dir, output_dir, setting, overlay, bundle_root)


def _run(
    workflow: str,
    model: Path,
    dataset_dir: Path,
    output_dir: Path,
    setting: list[str] | None,
    overlay: list[str] | None,
    bundle_root: Path | None,
) -> None:
    from hrcam_monai.workflows.configs import read_settings
    from hrcam_monai.workflows.model_folder import run_model

    settings = read_settings(setting or ())
    run_model(workflow, model, dataset_dir, output_dir, settings=settings, overlays=overlay or None, bundle_root=bundle_root)

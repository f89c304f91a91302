"""Inference and evaluation of a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrcam_monai.cli.shared import fail

Model = Annotated[Path, typer.Argument(help="Folder of model.pt and network.json, or a file of weights.")]
Output = Annotated[Path, typer.Option(help="Folder of the results.")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, may be repeated: an option of the bundle, such as num_workers=0.")
]
Overlay = Annotated[
    list[str] | None, typer.Option(help="Config of its training, may be repeated; told by network.json if not given.")
]
Bundle = Annotated[Path | None, typer.Option(help="Folder of the bundle; found if not given.")]


def infer(
    model: Model,
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of manifest.json, one image, or a folder of images or DICOM.")],
    output_dir: Output,
    setting: Setting = None,
    overlay: Overlay = None,
    bundle_root: Bundle = None,
) -> None:
    """Classes and maps of scans, by a model as it was trained: its folder tells how."""
    _run("inference", model, dataset_dir, output_dir, setting, overlay, bundle_root)


def evaluate(
    model: Model,
    dataset_dir: Annotated[Path, typer.Argument(help="Folder of manifest.json.")],
    output_dir: Output,
    setting: Setting = None,
    overlay: Overlay = None,
    bundle_root: Bundle = None,
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
    from hrcam_monai.data.failures import reason
    from hrcam_monai.workflows.configs import read_settings
    from hrcam_monai.workflows.model_folder import run_model

    try:
        settings = read_settings(setting or ())
        run_model(workflow, model, dataset_dir, output_dir, settings=settings, overlays=overlay or None, bundle_root=bundle_root)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise fail(reason(error)) from None

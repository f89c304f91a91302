"""Learn anew what the training images of a model were like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hrcam_monai.input_check import check_file, write_input_check
from hrcam_monai.workflows.model_folder import find_bundle, fitting_parser, weights_file
from hrcam_monai.workflows.model_settings import load_model

__all__ = ["learn_inputs"]


def learn_inputs(
    model: str | Path,
    dataset_dir: str | Path,
    bundle_root: str | Path | None = None,
    *,
    overlays: Sequence[str] | None = None,
) -> Path:
    """Write what tells later scans that are unlike those of the training, for weights that were trained without it.

    Args:
        model: a model folder or its weights.
        dataset_dir: folder of the manifest that the model was trained on: its training and validation images are read.
        bundle_root: the bundle with the configs; found by default.
        overlays: configs that the model was trained with, where more than its record tells were laid over the training's.

    Returns:
        the file, beside the weights.

    Raises:
        FileNotFoundError: no such weights, bundle or manifest.
        ModelSettingsError: the weights have no record that fits a configuration.
        SystemExit: status 1 at the end, if images could not be read.

    Example:
        >>> learn_inputs("my_run", "my_study")  # doctest: +SKIP
        PosixPath('my_run/inputs.pt')
    """
    weights = weights_file(model)
    root = Path(bundle_root) if bundle_root is not None else find_bundle(weights)
    parser = fitting_parser(weights, root, overlays, workflow="train")
    parser["dataset_dir"], parser["output_dir"] = str(dataset_dir), str(weights.absolute().parent)
    network = parser.get_parsed_content("network_def")
    load_model(network, weights, parser.get_parsed_content("model_settings"))
    network.to(parser.get_parsed_content("device"))
    training, held_out = parser.get_parsed_content("known_inputs"), parser.get_parsed_content("validate::dataset").items()
    write_input_check(weights, network, training, held_out, slice_axis=parser.get_parsed_content("slice_axis"))
    parser.get_parsed_content("failures").finish()
    return check_file(weights)

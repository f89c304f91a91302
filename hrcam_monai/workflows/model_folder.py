"""A folder of weights as a network that can be run: its record tells which of the bundle's configurations it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from hrcam_monai.utils.files import file_hash
from hrcam_monai.weights import read_weights
from hrcam_monai.workflows.command_line import refuse_unknown
from hrcam_monai.workflows.configs import bundle_parser, find_config
from hrcam_monai.workflows.model_settings import ModelSettingsError, differences, read_record

__all__ = ["CHOICES", "find_bundle", "fitting_config", "fitting_parser", "run_model", "weights_file"]

PACKAGE = Path(__file__).parents[1]
# overlays that make another network, or another input, of a bundle, as they are laid over it
CHOICES = ((), ("two_stage",), ("spatial_3d",), ("people",), ("pictures",), ("pictures", "imagenet"))


def weights_file(model: str | Path) -> Path:
    """The weights of a model folder, or the file itself.

    Raises:
        FileNotFoundError: there is none.

    Example:
        >>> weights_file("bundle/models")  # doctest: +SKIP
        PosixPath('bundle/models/model.pt')
    """
    path = Path(model)
    path = path / "model.pt" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; train first, or give the path of one.")
    return path


def find_bundle(weights: Path) -> Path:
    """The bundle that weights lie in, or else the one beside or around this package, or in the working directory.

    Raises:
        FileNotFoundError: there is none.
    """
    around = [*weights.absolute().parents, PACKAGE.parent, PACKAGE.parent / "bundle", Path("bundle")]
    for folder in around:
        if (folder / "configs" / "inference.json").is_file():
            return folder
    raise FileNotFoundError(f"no bundle with configs/inference.json around {weights}; give bundle_root.")


def fitting_config(weights: Path, bundle_root: Path, workflow: str = "inference") -> tuple[list[str], dict[str, Any]]:
    """Of the bundle's configurations the one that weights were trained with, by their record.

    The bundle's overlays are tried, and the plain settings of the record (classes, spacing, pooling, ...) with them, until the
    whole agrees with the record.

    Returns:
        names of the overlays, and values of single keys.

    Raises:
        ModelSettingsError: no record, or none of the bundle's configurations agrees with it.
    """
    record = read_record(weights)
    if record is None:
        raise ModelSettingsError(
            f"{weights}: has no record of its training beside it; name its overlays (--overlay; in Python overlays=[] for none)."
        )
    trained = record["settings"]
    shapes = {k: v.shape for k, v in read_weights(weights).items()}
    for changed in ({}, _plain(record)):  # a configuration as it is before one that is made to fit
        for names in _choices(bundle_root / "configs"):
            try:
                parser = bundle_parser(bundle_root, names, workflow, checkpoint=str(weights), **changed)
            except KeyError:  # an overlay of another workflow alone
                continue
            if differences(trained, parser.get_parsed_content("model_settings")):
                continue
            if {k: v.shape for k, v in parser.get_parsed_content("network_def").state_dict().items()} == shapes:
                return names, changed
    if record["weights"] != file_hash(weights):
        raise ModelSettingsError(f"{weights}: the record beside it is of other weights; put the one of its training there.")
    raise ModelSettingsError(f"{weights}: trained with settings that no config of {bundle_root} has; name its overlays.")


def fitting_parser(
    weights: Path, bundle_root: Path, overlays: Sequence[str] | None = None, workflow: str = "inference"
) -> ConfigParser:
    """A workflow's config as the weights were trained: laid over by what is given, or else by what their record fits.

    Raises:
        ModelSettingsError: see `fitting_config`.
    """
    names, changed = _overlays_and_values(weights, bundle_root, overlays, workflow)
    return bundle_parser(bundle_root, names, workflow, checkpoint=str(weights), **changed)


def run_model(
    workflow: str,
    model: str | Path,
    dataset_dir: str | Path,
    output_dir: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    overlays: Sequence[str] | None = None,
    bundle_root: str | Path | None = None,
) -> None:
    """Run evaluation or inference of a model folder as the model was trained, without naming its overlays.

    Args:
        workflow: evaluate or inference.
        model: the folder, or the file of weights.
        dataset_dir: as for `monai.bundle run`: a manifest's folder; for inference also images.
        output_dir: folder of the results.
        settings: values of other keys. What contradicts the training is refused, unless `insist` is among them.
        overlays: configs that the model was trained with, where its record is not to tell.
        bundle_root: the bundle with the configs; found by default.

    Raises:
        FileNotFoundError: no such weights or config.
        ModelSettingsError: see `fitting_config`; or settings that contradict the record.
        ValueError: a key that the workflow does not know.
        SystemExit: status 1 at the end, if subjects could not be processed.

    Example:
        >>> run_model("inference", "bundle/models/brain_tumor_t1ce", "slices", "maps")  # doctest: +SKIP
    """
    weights = weights_file(model)
    root = Path(bundle_root) if bundle_root is not None else find_bundle(weights)
    names, changed = _overlays_and_values(weights, root, overlays, workflow)
    files = [str(find_config(root, name)) for name in (workflow, *names)]
    refuse_unknown(["", "run", "--config_file", str(files), *[f"--{key}=" for key in settings or {}]])
    own = {"bundle_root": root, "checkpoint": weights, "dataset_dir": dataset_dir, "output_dir": output_dir}
    told = {**changed, **(settings or {}), **{key: str(value) for key, value in own.items()}}
    made = ConfigWorkflow(config_file=files, workflow_type=None, **told)
    made.initialize()
    made.run()
    made.finalize()


def _overlays_and_values(
    weights: Path, bundle_root: Path, overlays: Sequence[str] | None, workflow: str
) -> tuple[Sequence[str], dict[str, Any]]:
    """The overlays given, and the plain settings of the record that they leave open; without them, see `fitting_config`."""
    if overlays is None:
        return fitting_config(weights, bundle_root, workflow)
    said = {key for name in overlays for key in ConfigParser.load_config_file(find_config(bundle_root, name))}
    return overlays, {k: v for k, v in _plain(read_record(weights)).items() if k not in said}


def _plain(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings of a record that a config can take as they stand: what is no object."""
    return {k: v for k, v in record["settings"].items() if not isinstance(v, dict)} if record else {}


def _choices(configs: Path) -> Iterator[list[str]]:
    """Overlays of the bundle that make sense together. One that lies beside the weights is not run unasked: it may hold code."""
    tasks = [f"tasks/{p.stem}" for p in sorted((configs / "tasks").glob("*.json"))]
    yield from map(list, CHOICES)  # before tasks, which also say how maps of theirs are shown
    yield from ([*base, task] for base in ((), ("pictures",)) for task in tasks)

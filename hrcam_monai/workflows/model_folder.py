"""A folder of weights as a network that can be run: its record tells which of the bundle's configurations it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from monai.bundle import ConfigParser

from hrcam_monai.weights import read_weights
from hrcam_monai.workflows.configs import bundle_parser
from hrcam_monai.workflows.model_settings import ModelSettingsError, differences, read_record

PACKAGE = Path(__file__).parents[1]


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


def fitting_parser(
    weights: Path, bundle_root: Path, overlays: Sequence[str] | None = None, workflow: str = "inference"
) -> ConfigParser:
    """A workflow's config as the weights were trained: laid over by what is given, or else by what their record fits.

    The bundle's overlays are tried, and the plain settings of the record (classes, spacing, pooling, ...) with them, until the
    whole agrees with the record.

    Raises:
        ModelSettingsError: no record, or none of the bundle's configurations agrees with it.
    """
    if overlays is not None:
        return bundle_parser(bundle_root, overlays, workflow)
    record = read_record(weights)
    if record is None:
        raise ModelSettingsError(f"{weights}: has no record of its training beside it; name its overlays (overlays=[] for none).")
    trained = record["settings"]
    plain = {k: v for k, v in trained.items() if not isinstance(v, dict)}
    shapes = {k: v.shape for k, v in read_weights(weights).items()}
    for changed in ({}, plain):  # a configuration as it is before one that is made to fit
        for names in _choices(bundle_root / "configs"):
            parser = bundle_parser(bundle_root, names, workflow, **changed)
            if differences(trained, parser.get_parsed_content("model_settings")):
                continue
            if {k: v.shape for k, v in parser.get_parsed_content("network_def").state_dict().items()} == shapes:
                return parser
    raise ModelSettingsError(f"{weights}: trained with settings that no config of {bundle_root} has; name its overlays.")


def _choices(configs: Path) -> Iterator[list[str]]:
    """Overlays of the bundle that make sense together. One that lies beside the weights is not run unasked: it may hold code."""
    tasks = [f"tasks/{p.stem}" for p in sorted((configs / "tasks").glob("*.json"))]
    for base in ([], ["two_stage"], ["spatial_3d"], ["pictures"]):
        yield base
        if base in ([], ["pictures"]):
            yield from ([*base, task] for task in tasks)

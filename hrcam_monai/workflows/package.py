"""The bundle as one folder and one zip to share: configs, weights, docs, and this package inside.

Unpacked anywhere it runs where MONAI and the ordinary packages of `metadata.json` are installed; hrcam-monai need not be.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import hrcam_monai
from hrcam_monai.utils.files import atomic_write, file_hash, writing
from hrcam_monai.workflows.model_bundle import described, keep_one_model, write_texts
from hrcam_monai.workflows.model_folder import weights_file

__all__ = ["NAME", "build_package", "copy", "verify_package"]

NAME = "brain_mri_hrcam"
PARTS = ("configs", "docs", "models", "LICENSE")
SUMS = "SHA256SUMS"
STAMP = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that the same content gives the same bytes


def build_package(
    output: str | Path,
    bundle_root: str | Path = "bundle",
    *,
    model: str | Path | None = None,
    overlays: Sequence[str] | None = None,
    name: str = NAME,
) -> Path:
    """Write a bundle to share, `output`/NAME and `output`/NAME.zip.

    Args:
        output: folder of both; an older package there is replaced.
        bundle_root: the bundle.
        model: folder, or weights, of the one model that is shared, ready to run without overlays; by default all that the bundle
            holds, and its `models/model.pt` runs.
        overlays: configs that the model was trained with, where its record is not to tell.
        name: of the folder. MONAI Label reads the kind of model from it: with "classification" in it no image is answered.

    Returns:
        path of the zip.

    Raises:
        FileNotFoundError: the bundle lacks a part, or the model its weights.
        FileExistsError: a folder of that name is there that is no package.
        ModelSettingsError: the model has no record, or no configuration of the bundle fits it, and no overlays are given.
        ValueError: the bundle's version is not the package's, the changelog does not tell of it, or the name is no folder's.
        OutputError: a file cannot be written; an older package stays as it was.

    Example:
        >>> build_package("/tmp/shared", "bundle")  # doctest: +SKIP
        PosixPath('/tmp/shared/brain_mri_hrcam.zip')
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"'{name}': no name for a bundle; use letters, digits, _ and -.")
    source, folder = Path(bundle_root), Path(output) / name
    weights = None if model is None else weights_file(model)
    missing = [part for part in (*PARTS, "models/model.pt", "configs/metadata.json") if not (source / part).exists()]
    if missing:
        raise FileNotFoundError(f"{source / missing[0]}: not there; give the folder of the bundle.")
    metadata = _shared_metadata(source / "configs" / "metadata.json")
    if folder.exists() and not (folder / SUMS).is_file():
        raise FileExistsError(f"{folder}: there already, and no package of ours; choose another output folder.")
    made = folder.with_name(f".{name}")  # takes the name when it is whole: what was there stays until then
    try:
        with writing(folder):
            _fill(made, source)
            if weights is not None:
                config = keep_one_model(made, source, weights, overlays)
                metadata = described(metadata, weights, first_is_finding=config["first_is_finding"])
                write_texts(made / "docs", weights, name)
            (made / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4) + "\n")
            _sum(made)
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return _zipped(folder)


def _fill(folder: Path, bundle_root: Path) -> None:
    """All files of a package, but for its sums."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in PARTS:
        copy(bundle_root / part, folder / part)
    copy(Path(hrcam_monai.__file__).parent, folder / "hrcam_monai")


def _sum(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    sums = [f"{file_hash(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / SUMS).write_text("".join(sums))


def verify_package(path: str | Path) -> int:
    """See that a package is whole: every file of its SHA256SUMS is there and as it was.

    Args:
        path: the folder or the zip.

    Returns:
        the number of files.

    Raises:
        ValueError: it is not; the message names the first file that is missing or altered.

    Example:
        >>> verify_package("/tmp/shared/brain_mri_hrcam.zip")  # doctest: +SKIP
        78
    """
    source = Path(path)
    try:
        root: Path | zipfile.Path = source if source.is_dir() else next(zipfile.Path(source).iterdir())
        sums = (root / SUMS).read_text()
    except (OSError, KeyError, StopIteration, zipfile.BadZipFile):
        raise ValueError(f"{source}: no whole package; fetch it again.") from None
    lines = [line.split("  ", 1) for line in sums.splitlines()]
    for digest, name in lines:
        try:
            altered = hashlib.sha256((root / name).read_bytes()).hexdigest() != digest
        except (OSError, KeyError, zlib.error, zipfile.BadZipFile):
            altered = True
        if altered:
            raise ValueError(f"{source}: {name} is missing or altered; fetch the package again.")
    return len(lines)


def _shared_metadata(path: Path) -> dict[str, object]:
    """The bundle's metadata, without hrcam-monai among the packages to install: it travels along.

    Raises:
        ValueError: its version or changelog lags behind the package.
    """
    metadata = json.loads(path.read_text())
    version = hrcam_monai.__version__
    if metadata["version"] != version or version not in metadata["changelog"]:
        raise ValueError(f"{path}: version and changelog must hold {version}, the version of hrcam_monai.")
    metadata["required_packages_version"].pop("hrcam-monai", None)
    return metadata


def copy(source: Path, target: Path) -> None:
    """A file or folder, without what Python leaves in it. Unlike `shutil.copytree` it ends with the first error."""
    if not source.is_dir():
        shutil.copy(source, target)
        return
    target.mkdir()
    for part in sorted(source.iterdir()):
        if part.name != "__pycache__" and not part.name.startswith("."):
            copy(part, target / part.name)


def _zipped(folder: Path) -> Path:
    """The folder as a zip beside it, with the folder inside; the same content gives the same bytes."""
    path = folder.with_suffix(".zip")
    with atomic_write(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), STAMP)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return path

"""One subject made ready: what exists is kept, what is made gets a sidecar, what fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hrcam_monai.brain import litres, voxel_mm3
from hrcam_monai.data.dicom_series import Series
from hrcam_monai.data.failures import reason
from hrcam_monai.data.itk_images import to_array
from hrcam_monai.data.manifest import CRUS, Failure
from hrcam_monai.data.nifti import unreadable
from hrcam_monai.data.pictures import PictureError, black_and_white, is_picture, picture_suffix, read_picture, store_picture
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.sidecar import FOLDERS, TOOL
from hrcam_monai.data.slices import visible_slices
from hrcam_monai.data.writing import write_volume
from hrcam_monai.prepare.inputs import Choice, Inputs, input_hashes, locate, read_image, read_mask
from hrcam_monai.prepare.steps import Steps, process
from hrcam_monai.utils.files import OutputError, file_hash, write_json

__all__ = ["discard", "finished", "try_subject"]

SUFFIXES = (".nii.gz", ".png", ".tif")  # of what is written
PACKAGES = ("hrcam-monai", "deepbet", "itk", "nibabel", "nilearn", "pydicom", "numpy")


def _paths_of(output: Path, subject: str, suffix: str = ".nii.gz") -> dict[str, Path]:
    """Where a subject's image, label images, brain mask and sidecar lie."""
    files = {key: output / FOLDERS[key] / f"{subject}{suffix}" for key in FOLDERS}
    return files | {"record": output / "images" / f"{subject}.json"}


def finished(output: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar of a subject that an earlier run has made of the same inputs, in the same way; None if there is none."""
    try:
        record = json.loads(_paths_of(output, wanted["subject"])["record"].read_text())
        files = _paths_of(output, wanted["subject"], record.get("suffix", ".nii.gz"))
        same = all(record[k] == v for k, v in wanted.items())
        whole = same and all(file_hash(files[k]) == sha for k, sha in record["outputs"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def _described(inputs: Inputs, source: Path) -> dict[str, Any]:
    """What the sidecar says of the source. Names of DICOM files are left out: they may hold a patient's."""
    if isinstance(inputs.image, Series):
        return {"series": inputs.image.description, "slices": inputs.image.slices, "files": len(inputs.image.files)}
    return {"file": inputs.image.relative_to(source).as_posix()}


def _prepare_subject(choice: Choice, steps: Steps, output: Path, subject: str) -> dict[str, Any]:
    """Make one subject's files unless they are there, and return its sidecar's content.

    Raises:
        ScanError: its image or masks cannot be used.
    """
    inputs = locate(choice, subject)
    # through JSON, so that it compares equal with what is read back
    wanted = json.loads(
        json.dumps(
            {
                "subject": subject,
                "tool": TOOL,
                "versions": {p: version(p) for p in PACKAGES},
                "source": _described(inputs, choice.source),
                "inputs": input_hashes(inputs),
                "steps": asdict(steps),
            }
        )
    )
    done = finished(output, wanted)
    if done is not None:
        return done
    discard(output, subject)
    picture = not isinstance(inputs.image, Series) and is_picture(inputs.image)
    record = wanted | (_from_picture if picture else _from_volume)(inputs, steps, output, subject)
    write_json(record, _paths_of(output, subject)["record"])  # last: its presence says that the subject is complete
    return record


def _from_picture(inputs: Inputs, steps: Steps, output: Path, subject: str) -> dict[str, Any]:
    """A picture and its mask, upright and without what else their files tell: names, dates, places."""
    if steps.register != "none" or steps.roi is not None:
        raise ScanError(f"{inputs.image}: is a picture; --register and --roi are for volumes.")
    pixels = {"image": _pixels(inputs.image, (1, 3))}  # type: ignore[arg-type]
    for key, path in inputs.labels.items():
        pixels[key] = _pixels(path, (1,))
        if pixels[key].shape[1:] != pixels["image"].shape[1:]:
            size, own = (" x ".join(map(str, pixels[k].shape[1:3])) for k in (key, "image"))
            raise ScanError(f"{path}: has {size} pixels, its image {own}; draw the mask on the image itself.")
        try:
            pixels[key] = black_and_white(pixels[key])
        except PictureError as error:
            raise ScanError(f"{path}: {error}") from None
    suffix = picture_suffix(pixels["image"])  # names the mask, too
    files = _paths_of(output, subject, suffix)
    for key, values in pixels.items():
        store_picture(values, files[key])
    return {
        "suffix": suffix,
        "remark": inputs.remark,
        "voxels": hashlib.sha256(pixels["image"].tobytes()).hexdigest(),
        "skull": False,
        "brain_litres": None,
        **dict.fromkeys(("similarity", "template_to_scan", "roi")),
        "slices": {},
        "outputs": {key: file_hash(files[key]) for key in pixels},
    }


def _pixels(path: Path, channels: tuple[int, ...]) -> np.ndarray:
    """Of a picture in grey its values once, else the colours where these are taken."""
    try:
        try:
            return read_picture(path, channels[0])
        except PictureError:
            return read_picture(path, channels[-1])
    except PictureError as error:
        raise ScanError(f"{path}: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _from_volume(inputs: Inputs, steps: Steps, output: Path, subject: str) -> dict[str, Any]:
    """A volume and its label images through the steps."""
    image = read_image(inputs)
    brain = read_mask(inputs.brain) if inputs.brain else None
    labels = {key: read_mask(path) for key, path in inputs.labels.items()}
    voxels = hashlib.sha256(to_array(image)[0].tobytes()).hexdigest()
    try:
        made = process(image, steps, brain, labels)
    except ValueError as error:
        name = f"series {inputs.image.name}" if isinstance(inputs.image, Series) else inputs.image
        raise ScanError(f"{name}: {error}") from None
    files = _paths_of(output, subject)
    written = {"image": made.image, **made.labels} | ({} if made.brain is None else {"brain": made.brain})
    for key, volume in written.items():
        write_volume(*to_array(volume), files[key])
    return {
        "remark": inputs.remark,
        "voxels": voxels,
        "skull": made.skull,
        "brain_litres": None if made.brain is None else _litres(made.brain),
        "similarity": None if made.similarity is None else round(made.similarity, 4),
        "template_to_scan": None if made.matrix is None else made.matrix.round(6).tolist(),
        "slices": {key: visible_slices(*_evidence(key, volume)) for key, volume in made.labels.items()},
        "roi": None if made.roi is None else made.roi.round(3).tolist(),
        "outputs": {key: file_hash(files[key]) for key in written},
    }


def _litres(mask: Any) -> float:
    array, affine = to_array(mask)
    return round(litres(array, voxel_mm3(affine)), 2)


def _evidence(key: str, volume: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where a label image shows what slices are chosen by, and its affine: `regions` name the reference of contrast first."""
    array, affine = to_array(volume)
    return array > (CRUS if key == "regions" else 0), affine


def discard(output: Path, subject: str) -> None:
    """Remove what an earlier run has made of a subject: the sidecar first, so that no other file is taken for whole."""
    for suffix in SUFFIXES:
        for path in reversed(_paths_of(output, subject, suffix).values()):
            path.unlink(missing_ok=True)


def try_subject(choice: Choice, steps: Steps, output: Path, subject: str) -> dict[str, Any] | Failure:
    """Prepare a subject; whatever goes wrong costs only this one, but for a file that cannot be written."""
    try:
        return _prepare_subject(choice, steps, output, subject)
    except OutputError:
        raise
    except Exception as error:
        discard(output, subject)  # of other settings, perhaps: nothing stays that is not vouched for
        # the system's message would name the file, and a DICOM file's name may be a patient's
        text = f"{error.strerror} while reading or writing" if isinstance(error, OSError) and error.strerror else reason(error)
        return Failure(subject, str(choice.source / subject), text)

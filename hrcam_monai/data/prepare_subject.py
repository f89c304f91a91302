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

from hrcam_monai.data.dicom_series import Series
from hrcam_monai.data.failures import reason
from hrcam_monai.data.inputs import Choice, Inputs, input_hashes, locate, read_image, read_mask
from hrcam_monai.data.itk_images import to_array
from hrcam_monai.data.manifest import CRUS, FILES, Failure
from hrcam_monai.data.reading import ScanError
from hrcam_monai.data.sidecar import FOLDERS, TOOL
from hrcam_monai.data.slices import visible_slices
from hrcam_monai.data.steps import Steps, process
from hrcam_monai.data.writing import write_json, write_volume
from hrcam_monai.files import file_hash

PACKAGES = ("hrcam-monai", "itk", "nibabel", "nilearn", "pydicom", "numpy")


def paths_of(output: Path, subject: str) -> dict[str, Path]:
    """Where a subject's image, label images and sidecar lie."""
    files = {key: output / FOLDERS[key] / f"{subject}.nii.gz" for key in FILES}
    return files | {"record": output / "images" / f"{subject}.json"}


def finished(output: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar of a subject that an earlier run has made of the same inputs, in the same way; None if there is none."""
    files = paths_of(output, wanted["subject"])
    try:
        record = json.loads(files["record"].read_text())
        same = all(record[k] == v for k, v in wanted.items())
        whole = same and all(file_hash(files[k]) == sha for k, sha in record["outputs"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def described(inputs: Inputs, source: Path) -> dict[str, Any]:
    """What the sidecar says of the source. Names of DICOM files are left out: they may hold a patient's."""
    if isinstance(inputs.image, Series):
        return {"series": inputs.image.description, "slices": inputs.image.slices, "files": len(inputs.image.files)}
    return {"file": inputs.image.relative_to(source).as_posix()}


def prepare_subject(choice: Choice, steps: Steps, output: Path, subject: str) -> dict[str, Any]:
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
                "source": described(inputs, choice.source),
                "inputs": input_hashes(inputs),
                "steps": asdict(steps),
            }
        )
    )
    done = finished(output, wanted)
    if done is not None:
        return done
    image = read_image(inputs)
    brain = read_mask(inputs.brain) if inputs.brain else None
    labels = {key: read_mask(path) for key, path in inputs.labels.items()}
    voxels = hashlib.sha256(to_array(image)[0].tobytes()).hexdigest()
    try:
        made = process(image, steps, brain, labels)
    except ValueError as error:
        name = f"series {inputs.image.name}" if isinstance(inputs.image, Series) else inputs.image
        raise ScanError(f"{name}: {error}") from None
    files = paths_of(output, subject)
    discard(output, subject)
    for key, volume in {"image": made.image, **made.labels}.items():
        write_volume(*to_array(volume), files[key])
    record = wanted | {
        "remark": inputs.remark,
        "voxels": voxels,
        "skull": made.skull,
        "similarity": None if made.similarity is None else round(made.similarity, 4),
        "template_to_scan": None if made.matrix is None else made.matrix.round(6).tolist(),
        "slices": {key: visible_slices(*_evidence(key, volume)) for key, volume in made.labels.items()},
        "roi": None if made.roi is None else made.roi.round(3).tolist(),
        "outputs": {k: file_hash(files[k]) for k in ("image", *made.labels)},
    }
    write_json(record, files["record"])  # last: its presence says that the subject is complete
    return record


def _evidence(key: str, volume: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where a label image shows what slices are chosen by, and its affine: `regions` name the reference of contrast first."""
    array, affine = to_array(volume)
    return array > (CRUS if key == "regions" else 0), affine


def discard(output: Path, subject: str) -> None:
    """Remove what an earlier run has made of a subject: the sidecar first, so that no other file is taken for whole."""
    for path in reversed(paths_of(output, subject).values()):
        path.unlink(missing_ok=True)


def try_subject(choice: Choice, steps: Steps, output: Path, subject: str) -> dict[str, Any] | Failure:
    """Prepare a subject; whatever goes wrong costs only this one."""
    try:
        return prepare_subject(choice, steps, output, subject)
    except Exception as error:
        discard(output, subject)  # of other settings, perhaps: nothing stays that is not vouched for
        # the system's message would name the file, and a DICOM file's name may be a patient's
        text = f"{error.strerror} while reading or writing" if isinstance(error, OSError) and error.strerror else reason(error)
        return Failure(subject, str(choice.source / subject), text)

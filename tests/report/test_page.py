from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hrcam_monai.data.pictures import write_picture
from hrcam_monai.report import write_report
from hrcam_monai.report.page import along_own_axes
from hrcam_monai.utils.csv_files import write_csv
from tests.conftest import save_head
from tests.pictures import SIZE, picture_cohort


def test_one_self_contained_page(tmp_path):
    (tmp_path / "maps").mkdir()
    rows = []
    for i in range(2):
        save_head(tmp_path / f"s{i}.nii.gz", (40, 44, 36))
        heat = np.zeros((40, 44, 36), np.float32)
        heat[25, 20, 18] = i  # the first map is empty: nothing above zero
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) if i else np.eye(4)  # one is mirrored to be drawn
        scan = np.asarray(nib.load(tmp_path / f"s{i}.nii.gz").dataobj)
        nib.save(nib.Nifti1Image(scan, affine), tmp_path / f"s{i}.nii.gz")
        nib.save(nib.Nifti1Image(heat, affine), tmp_path / "maps" / f"s{i}_map.nii.gz")
        rows.append({"subject": f"s{i}", "file": tmp_path / f"s{i}.nii.gz", "predicted": "abnormal", "probability_abnormal": 0.8})
        rows[-1] |= {"map_class": ("abnormal", "normal")[i]}
    with (tmp_path / "predictions.csv").open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "failures.csv").write_text("subject,file,error\nbad,b.nii,is <empty>\n")
    page = write_report(tmp_path).read_text()
    assert page.count('onclick="show(') == 2
    assert "bad: is &lt;empty&gt;" in page
    assert "not a diagnosis" in page
    assert page.count('s0: abnormal (p = 0.80)"') == page.count('s1: abnormal (p = 0.80), map of normal"') == 1
    assert 'src="http' not in page
    assert sorted(p.name for p in (tmp_path / "overlays").iterdir()) == ["s0.png", "s1.png"]
    assert 'onclick="show(' not in write_report(tmp_path, max_viewers=0).read_text()
    assert not plt.get_fignums()  # memory does not grow with the cohort
    empty = np.asarray(Image.open(tmp_path / "overlays" / "s0.png").convert("L"), dtype=float)
    assert empty[60:200, 60:600].mean() > 10  # a map without anything shows the middle of the head, not a corner of the air


def test_folder_without_predictions(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions.csv: not found; run inference.json into this folder first"):
        write_report(tmp_path)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SRA"])
def test_pictures_are_cut_along_the_scans_own_axes(axes):
    values = np.zeros((12, 14, 6), np.float32)
    values[2, 3, 1] = 1
    turn = nib.eulerangles.euler2mat(x=0.4, z=0.1)
    tilted = nib.Nifti1Image(values, nib.affines.from_matvec(turn @ np.diag([2.0, 2.0, 5.0]), [-10, 5, 7]))
    other = tilted.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(np.eye(4)), axes_of(axes)))
    drawn = along_own_axes(other)
    assert drawn.shape == values.shape
    assert np.array_equal(np.argwhere(np.asarray(drawn.dataobj)), [[2, 3, 1]])
    assert np.allclose(drawn.affine[:3, :3], np.diag([2, 2, 5]))
    middle = (np.array(values.shape) - 1) / 2
    assert np.allclose(nib.affines.apply_affine(drawn.affine, middle), nib.affines.apply_affine(tilted.affine, middle))


def axes_of(codes):
    return nib.orientations.axcodes2ornt(tuple(codes))


def test_a_scan_that_is_straight_keeps_its_coordinates():
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = [30, 40, -20]
    image = nib.Nifti1Image(np.random.default_rng(0).random((6, 7, 5)).astype(np.float32), affine)
    drawn = along_own_axes(image)
    assert np.allclose(nib.affines.apply_affine(drawn.affine, [0, 0, 0]), nib.affines.apply_affine(affine, [5, 6, 0]))
    assert np.array_equal(np.asarray(drawn.dataobj), np.asarray(image.dataobj)[::-1, ::-1])


def test_pictures_are_drawn_upright_and_their_masks_outlined(tmp_path):
    cohort = picture_cohort(tmp_path / "cohort")
    entry = json.loads((cohort / "manifest.json").read_text())["test"][1]
    image, out = cohort / entry["image"], tmp_path / "out"
    (out / "maps").mkdir(parents=True)
    heat = np.zeros((*SIZE, 1), np.float32)
    heat[26:34, 6:14] = 1  # on the square
    write_picture(heat, out / "maps" / "a_map.tif")
    write_csv(out / "predictions.csv", [{"subject": "a", "file": image, "predicted": "square", "probability_square": 0.9}])
    drawn = []
    for source in (cohort, image):
        page = write_report(out, source=source).read_text()
        assert "frame.hidden=!v.page" in page
        drawn.append(np.asarray(Image.open(out / "overlays" / "a.png"), dtype=int))
    outlined, plain = drawn
    cyan = (outlined[..., 2] - outlined[..., 0]) > 100
    assert cyan.any()
    assert not ((plain[..., 2] - plain[..., 0]) > 100).any()
    rows, columns = np.nonzero(cyan[:, : cyan.shape[1] // 2])
    assert rows.mean() < cyan.shape[0] / 2  # above the middle, and right of the left picture's
    assert columns.mean() > cyan.shape[1] / 4

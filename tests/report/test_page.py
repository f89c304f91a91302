from __future__ import annotations

import gzip
import json
from base64 import b64decode

import nibabel as nib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hrcam_monai.data.pictures import write_picture
from hrcam_monai.report import write_report
from hrcam_monai.utils.csv_files import read_csv, write_csv
from tests.conftest import save_head
from tests.pictures import SIZE, picture_cohort


def report_folder(folder):
    """Two subjects as inference leaves them: nothing stands out of the first map; one is mirrored to be drawn."""
    (folder / "maps").mkdir()
    rows, entries = [], []
    for i in range(2):
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) if i else np.eye(4)
        save_head(folder / f"s{i}.nii.gz", (40, 44, 36), affine)
        heat = np.zeros((40, 44, 36), np.float32)
        heat[25, 20, 18] = i
        other = np.zeros((20, 22, 18, 2), np.float32)
        other[8, 9, 10] = [0, 3]
        drawn = np.zeros((40, 44, 36), np.uint8)
        drawn[24:27, 19:22, 17:20] = 1
        nib.save(nib.Nifti1Image(drawn, affine), folder / f"s{i}_mask.nii.gz")
        nib.save(nib.Nifti1Image(heat, affine), folder / "maps" / f"s{i}_map.nii.gz")
        nib.save(nib.Nifti1Image(other, affine @ np.diag([2.0, 2, 2, 1])), folder / "maps" / f"s{i}_classes.nii.gz")
        rows.append({"subject": f"s{i}", "file": folder / f"s{i}.nii.gz", "predicted": "abnormal"})
        rows[-1] |= {"probability_normal": 0.2, "probability_abnormal": 0.8, "map_class": ("abnormal", "normal")[i]}
        entries.append({"subject": f"s{i}", "image": f"s{i}.nii.gz", "mask": f"s{i}_mask.nii.gz", "label": 1})
    write_csv(folder / "predictions.csv", rows)
    (folder / "failures.csv").write_text("subject,file,error\nbad,b.nii,is <empty>\n")
    told = {"classes": ["normal", "abnormal"], "test": entries}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def brought(folder, subject):
    """What a subject's script brings to the page."""
    text = (folder / "viewer" / f"{subject}.js").read_text()
    return json.loads(text.removeprefix("window.SUBJECT = ").removesuffix(";\n"))


def test_a_page_with_its_viewer_beside_it(tmp_path):
    page = write_report(report_folder(tmp_path), source=tmp_path).read_text()
    assert page.count('data-view="volume"') == 2
    assert "bad: is &lt;empty&gt;" in page
    assert "not a diagnosis" in page
    assert page.count('"s0: abnormal (p = 0.80)"') == page.count('"s1: abnormal (p = 0.80), map of normal"') == 1
    assert 'src="http' not in page
    assert len(page) < 30_000  # all else is loaded when it is looked at
    assert sorted(p.name for p in (tmp_path / "overlays").iterdir()) == ["s0.png", "s1.png"]
    assert sorted(p.name for p in (tmp_path / "viewer").iterdir()) == ["niivue.js", "niivue_LICENSE.txt", "s0.js", "s1.js"]
    assert not plt.get_fignums()  # memory does not grow with the cohort
    empty = np.asarray(Image.open(tmp_path / "overlays" / "s0.png").convert("L"), dtype=float)
    assert empty[60:200, 60:600].mean() > 10  # a map without anything shows the middle of the head, not a corner of the air
    first, second = (brought(tmp_path, name) for name in ("s0", "s1"))
    assert (first["shown"], second["shown"]) == ("abnormal", "normal")
    assert set(first["maps"]) == set(second["maps"]) == {"normal", "abnormal"}
    assert first["maps"]["abnormal"]["image"] is None  # flat
    assert first["mask"] is not None


def test_subjects_beyond_those_asked_for_have_their_picture(tmp_path):
    page = write_report(report_folder(tmp_path), max_viewers=1).read_text()
    assert page.count('data-view="volume"') == page.count('data-view="picture"') == 1
    assert not (tmp_path / "viewer" / "s1.js").exists()


def test_no_text_of_a_file_becomes_part_of_the_page(tmp_path):
    folder, bad = report_folder(tmp_path), "</script><b onclick='x'>&amp;"
    rows = read_csv(folder / "predictions.csv")
    write_csv(folder / "predictions.csv", [row | {"input_check": bad, "map_class": bad} for row in rows])
    page = write_report(folder).read_text()
    assert bad not in page
    assert "&lt;/script&gt;&lt;b onclick=&#39;x&#39;&gt;&amp;amp;" in page


def test_what_the_header_of_a_scan_tells_stays_out(tmp_path):
    folder = report_folder(tmp_path)
    for name in ("s0.nii.gz", "s0_mask.nii.gz"):
        image = nib.load(folder / name)
        image.header["descrip"], image.header["db_name"], image.header["aux_file"] = b"Quzzlewick 1961", b"Quzzlewick", b"Quzz"
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), folder / name)
    write_report(folder, source=folder)
    shown = brought(folder, "s0")
    for packed in (shown["scan"], shown["mask"], brought(folder, "s1")["maps"]["normal"]["image"]):
        assert b"Quzz" not in gzip.decompress(b64decode(packed))


def test_folder_without_predictions(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions.csv: not found; run inference.json into this folder first"):
        write_report(tmp_path)


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
        assert 'data-view="picture"' in page
        assert not (out / "viewer").exists()
        drawn.append(np.asarray(Image.open(out / "overlays" / "a.png"), dtype=int))
    outlined, plain = drawn
    cyan = (outlined[..., 2] - outlined[..., 0]) > 100
    assert cyan.any()
    assert not ((plain[..., 2] - plain[..., 0]) > 100).any()
    rows, columns = np.nonzero(cyan[:, : cyan.shape[1] // 2])
    assert rows.mean() < cyan.shape[0] / 2  # above the middle, and right of the left picture's
    assert columns.mean() > cyan.shape[1] / 4

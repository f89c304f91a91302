from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from hrcam_monai.data import ManifestError, find_items
from hrcam_monai.data.sidecar import TOOL
from tests.conftest import save_head
from tests.data.dicom import write_multiframe, write_series


def test_a_file(head):
    assert find_items(head) == ([{"image": str(head), "subject": "head"}], [])


def test_a_folder_is_searched_and_names_stay_apart(tmp_path):
    for sub in ("one", "two"):
        (tmp_path / sub).mkdir()
        save_head(tmp_path / sub / "T1.nii.gz")
    write_series(tmp_path / "three" / "series")
    (tmp_path / "one" / "notes.txt").write_text("no scan")
    items, failures = find_items(tmp_path)
    assert sorted(i["subject"] for i in items) == ["one_T1", "three_series", "two_T1"]
    assert failures == []


def test_a_dicom_folder_is_one_item(tmp_path):
    write_series(tmp_path / "series")
    assert find_items(tmp_path / "series")[0] == [{"image": str(tmp_path / "series"), "subject": "series"}]


def test_a_manifest_or_its_folder(cohort):
    assert len(find_items(cohort)[0]) == 12
    assert len(find_items(cohort / "manifest.json", split="test")[0]) == 4
    assert "mask" not in find_items(cohort)[0][0]


def test_a_manifest_away_from_its_images(cohort, tmp_path):
    shutil.copy(cohort / "manifest.json", tmp_path)
    assert find_items(tmp_path, split="test", root=cohort)[0] == find_items(cohort, split="test")[0]


def test_scans_of_one_name_get_names_of_their_own(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    for name in ("a_b.nii.gz", "a/b.nii.gz", "a_b.nii"):
        (tmp_path / "in" / name).touch()
    assert sorted(i["subject"] for i in find_items(tmp_path / "in")[0]) == ["a_b", "a_b_2", "a_b_3"]
    (tmp_path / "in" / "a_b_2.nii").touch()
    assert sorted(i["subject"] for i in find_items(tmp_path / "in")[0]) == ["a_b", "a_b_2", "a_b_3", "a_b_4"]


def test_hidden_folders_are_skipped_and_broken_links_are_not(tmp_path):
    (tmp_path / ".git" / "annex").mkdir(parents=True)
    (tmp_path / ".git" / "annex" / "k.nii.gz").touch()
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    assert [i["subject"] for i in find_items(tmp_path)[0]] == ["link"]


def test_the_index_of_a_dicom_disc_is_no_image(tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(ManifestError, match="holds no image"):
        find_items(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(ManifestError, match="no such file or folder; give an image"):
        find_items(tmp_path / "gone")
    with pytest.raises(ManifestError, match="holds no image; expected .nii"):
        find_items(tmp_path)


def test_what_prepare_found_beside_a_scan_goes_with_it(tmp_path):
    for folder in ("images", "regions"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.nii.gz").touch()
    record = {"tool": TOOL, "roi": [1.0, -20.0, -15.0], "outputs": {"image": "", "regions": ""}}
    (tmp_path / "images" / "s.json").write_text(json.dumps(record))
    (item,) = find_items(tmp_path / "images")[0]
    assert item["roi"] == record["roi"]
    assert item["regions"] == str(tmp_path / "regions" / "s.nii.gz")
    assert find_items(tmp_path / "images" / "s.nii.gz")[0] == [item]
    (tmp_path / "images" / "s.json").unlink()
    assert set(find_items(tmp_path / "images")[0][0]) == {"image", "subject"}


def test_a_dicom_files_name_names_nothing(tmp_path):
    write_multiframe(tmp_path / "scan7", np.arange(2880).reshape(6, 24, 20), list(range(6)))
    [file] = (tmp_path / "scan7").iterdir()
    file = file.rename(file.with_name("QUZZLEWICK_JANE"))
    [item], _ = find_items(file)
    assert item == {"image": str(tmp_path / "scan7"), "subject": "scan7"}
    write_series(tmp_path / "scan7", 2)
    with pytest.raises(ManifestError) as error:
        find_items(file)
    assert str(error.value).startswith(f"{tmp_path / 'scan7'}: holds 2 DICOM file(s) beside the one given; give the folder, or")


def test_a_series_beside_pictures_is_read_too(tmp_path):
    write_series(tmp_path / "case")
    Image.new("L", (4, 4)).save(tmp_path / "case" / "preview.png")
    assert [i["subject"] for i in find_items(tmp_path)[0]] == ["case", "case_preview"]


def test_results_of_an_earlier_run_are_no_images(tmp_path):
    save_head(tmp_path / "a.nii.gz")
    (tmp_path / "out" / "maps").mkdir(parents=True)
    save_head(tmp_path / "out" / "maps" / "a_map.nii.gz")
    assert len(find_items(tmp_path)[0]) == 2
    for name in ("settings.json", "predictions.csv"):
        (tmp_path / "out" / name).touch()
    assert [i["subject"] for i in find_items(tmp_path)[0]] == ["a"]


def test_names_that_no_output_could_take_are_shortened_and_stay_apart(tmp_path):
    for last in "ab":
        (tmp_path / f"{'é' * 120}{last}.png").touch()
    names = [i["subject"] for i in find_items(tmp_path)[0]]
    assert len(set(names)) == 2
    assert all(len(name.encode()) < 170 and name.startswith("é" * 75 + "_") for name in names)


def test_a_name_that_is_no_text_costs_itself_alone(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.png")).touch()
    (tmp_path / "good.png").touch()
    items, [failure] = find_items(tmp_path)
    assert [i["subject"] for i in items] == ["good"]
    assert failure.subject == "bad\ufffd"
    assert failure.error.startswith("its name is not UTF-8")

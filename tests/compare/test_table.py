import numpy as np
import pytest

from hrcam_monai.compare.table import comparison_summary, froc_score, markdown, numbers
from hrcam_monai.utils.classes import Classes


def row(subject, group, label, method="", **scores):
    return {"subject": subject, "group": group, "label": label, "network": "n", "method": method, "probability": ""} | scores


@pytest.fixture
def rows():
    found = [row(f"h{i}", "none", 0, probability=0.1) for i in range(3)]
    for i, group in enumerate(["plain", "plain", "faint"]):
        found.append(row(f"a{i}", group, 1, probability=0.9 if group == "plain" else 0.05))
        scores = dict.fromkeys(["best_dice", "fixed_dice", "pointing", "peak_distance_mm", "energy"], 0.5)
        peaks = {"false_peaks": "", "lesion_peaks": "1.0"}
        found.append(row(f"a{i}", group, 1, "HR-CAM, n", pixel_ap=0.2 * (i + 1), **scores, **peaks))
    return found


def test_groups_are_told_from_all_healthy_subjects(rows):
    lines = {x["group"]: x for x in comparison_summary(rows, Classes(("a", "b")), samples=20)["classification"]}
    assert lines["plain"]["auc"] == 1
    assert lines["faint"]["auc"] == 0
    assert lines["plain"]["subjects"] == 5
    assert lines["all"]["subjects"] == 6


def test_means_with_intervals(rows):
    lines = {x["group"]: x for x in comparison_summary(rows, Classes(("a", "b")), samples=20)["localization"]}
    assert lines["all"]["pixel_ap"] == pytest.approx(0.4)
    assert lines["plain"]["pixel_ap_ci95"] == pytest.approx([0.2, 0.4])
    assert lines["all"]["froc"] == 1
    assert "deletion_auc" not in lines["all"]


def test_rows_read_from_a_file_are_the_same(rows):
    as_text = [{k: str(v) for k, v in r.items()} for r in rows]
    assert comparison_summary(as_text, Classes(("a", "b")), samples=20) == comparison_summary(
        rows, Classes(("a", "b")), samples=20
    )
    assert np.isnan(numbers([{"pixel_ap": ""}], "pixel_ap")[0])


def test_froc_from_rows():
    assert froc_score([{"false_peaks": "3 1", "lesion_peaks": "2 0"}]) == pytest.approx(
        np.interp([0.25, 0.5, 1, 2, 4], [0, 1], [0, 0.5]).mean()
    )


def test_markdown(rows):
    summary = comparison_summary(rows, Classes(("a", "b")), samples=20) | {"notes": {"X": "y"}, "left_out": {"Z (n)": "w"}}
    text = markdown(summary)
    assert "| HR-CAM, n | all | 3 | 0.400 [" in text
    assert "- X: y." in text
    assert "- Left out: Z (n): w" in text

from __future__ import annotations

from hrcam_monai.utils.csv_files import append_csv, read_csv, write_csv


def test_lines_are_appended_and_read_back(tmp_path):
    path = tmp_path / "a.csv"
    append_csv(path, [{"subject": "a", "p": 0.25}])
    append_csv(path, [{"subject": "b, with\nmore", "p": 1.0}])
    assert read_csv(path) == [{"subject": "a", "p": "0.250000"}, {"subject": "b, with\nmore", "p": "1.000000"}]
    write_csv(path, [{"subject": "c", "p": "0.250000"}])
    assert read_csv(path) == [{"subject": "c", "p": "0.250000"}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_line_that_was_cut_is_passed_over(tmp_path):
    path = tmp_path / "a.csv"
    append_csv(path, [{"subject": "a", "p": 0.25}, {"subject": "b", "p": 0.5}])
    path.write_text(path.read_text()[:-4])
    assert read_csv(path) == [{"subject": "a", "p": "0.250000"}]

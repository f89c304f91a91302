from hrcam_monai.utils.tables import interval, table


def test_a_number_with_its_interval():
    line = {"auc": 0.81239, "auc_ci95": [0.7, 0.91]}
    assert interval(line, "auc") == "0.812 [0.700, 0.910]"
    assert interval(line, "auc", 1) == "0.8 [0.7, 0.9]"
    assert interval(line, "accuracy") == ""


def test_lines_of_a_table():
    assert table(["a"], [["1"], ["2"]]) == ["| a |", "|---|", "| 1 |", "| 2 |", ""]

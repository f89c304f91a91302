from __future__ import annotations

import healthy_heads
from healthy_heads import lines, shown


def head(name, heights, **more):
    return {"subject": name, "abnormal": False, "unlike": True, "grade": "none", "peaks": heights} | more


def test_peaks_count_from_the_height_that_validation_lesions_reach():
    validation = [head(str(i), [], grade=grade, inside=2.0 + i) for i, grade in enumerate(["plain", "plain", "faint"])]
    validation[2]["inside"] = 0.5
    found = lines("here", [head("a", [3.0, 1.0]), head("b", [0.7]), head("c", [], abnormal=True)], validation)
    assert (found["heads"], found["abnormal"], found["unlike"]) == (3, 1, 3)
    plain, every = found["plain lesions"], found["any lesion"]
    assert 2.0 < plain["point"] < 2.2  # a tenth of the plain ones may stay below
    assert (plain["a_head"], plain["without"]) == (1 / 3, 2)
    assert (every["a_head"], every["without"]) == (2 / 3, 2)  # from .8 on, which the faint one's height pulls down to
    content = {"machine": {"cpu": "one"}, "versions": {"python": "3"}, "sites": [found]}
    assert "| here | 3 | 1 | 3 | 0.33 [0.00, 1.00] | 0.67 [0.00, 2.00] | 2 | 2 |" in shown(content)


def test_nothing_is_measured_without_the_data(tmp_path, capsys):
    healthy_heads.main(tmp_path / "none", tmp_path)
    assert "nothing is measured" in capsys.readouterr().out

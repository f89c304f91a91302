from __future__ import annotations

import numpy as np
import pytest

from hrcam_monai.cross_validation.page import markdown
from hrcam_monai.cross_validation.summary import by_subject, cross_validation_summary

CLASSES = ["normal", "abnormal"]


def rows(noise, count=24, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        p = (i % 2) * (1 - noise) + noise * rng.random()
        made.append({"subject": f"s{i:02d}", "label": CLASSES[i % 2], "fold": i // 8, "probability_normal": 1 - p})
        made[-1]["probability_abnormal"] = f"{p:.6f}"  # as read from a file
    return made


def test_images_of_a_subject_count_once():
    two = [rows(0.5)[0] | {"probability_normal": a, "probability_abnormal": 1 - a} for a in (0.2, 0.4)]
    table = by_subject(two, CLASSES)
    assert table["s00"][:2] == (0, 0)
    assert table["s00"][2] == pytest.approx([0.3, 0.7])


def test_numbers_and_page():
    summary = cross_validation_summary(rows(0.2), CLASSES, {"chance": rows(1.0, seed=1)[:20]}, seed=0)
    network, chance = summary["network"], summary["baselines"]["chance"]
    assert (network["auc"], network["mean_fold_auc"], network["fold_auc"]) == (1.0, 1.0, [1.0, 1.0, 1.0])
    assert network["permutation_p"] < 0.01
    assert chance["subjects"] == chance["network_less_baseline"]["subjects"] == 20
    assert chance["network_less_baseline"]["difference"] == pytest.approx(1 - chance["auc"])
    assert chance["network_less_baseline"]["difference_ci95"][0] > 0
    text = markdown(summary | {"warnings": ["fold_1: displaced."], "localization": {"subjects_with_mask": 0}})
    assert text.startswith("# Cross-validation, 24 subjects, 3 folds\n")
    assert "| network | 24 | 1.000 [1.000, 1.000] |" in text
    assert "2000 permutations of the labels within folds" in text
    assert "- Warning: fold_1: displaced." in text
    assert "masks" not in text

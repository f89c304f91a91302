from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import tumour_scores
import tumours
import tumours_picture
import tumours_table
import tumours_without_image

from hrcam_monai.compare.maps import Candidate
from hrcam_monai.inferers import HRCAMInferer
from hrcam_monai.networks import HRCAMNet, StageCNN

MARKS = [*(f"{of}{name}" for name in tumours.CLASSES for of in ("", "other networks, ")), "without an image"]


def rows(people=50, slices=3):
    names = tumours.CLASSES["glioma_flair"]
    return [
        {
            "patient": f"p{p:02d}",
            "fold": str(p % 5),
            "site": "ABC"[p % 3] * 2,
            "class": names[s % 2],
            "image": f"{p}_{s}.png",
            "mask": "m" if s % 2 else "",
        }
        for p in range(people)
        for s in range(slices)
    ]


def test_nobody_is_in_two_splits_and_everyone_is_held_out_once():
    splits = [tumours.split_of(rows(), fold, seed=0) for fold in range(5)]
    assert sorted(p for split in splits for p, s in split.items() if s == "test") == sorted(splits[0])
    assert [sum(s == "validation" for s in split.values()) for split in splits] == [8] * 5
    assert splits[0] == tumours.split_of(rows()[::-1], 0, seed=0) != tumours.split_of(rows(), 0, seed=1)


def test_a_site_is_held_out_whole():
    listed = rows()
    split = tumours.split_of(listed, "BB", seed=0)
    assert {r["patient"] for r in listed if r["site"] == "BB"} == {p for p, s in split.items() if s == "test"}
    assert sum(s == "validation" for s in split.values()) == 7  # a fifth of the other 33
    with pytest.raises(ValueError, match="nobody is of site XX; sites of this set: AA, BB, CC."):
        tumours.split_of(listed, "XX", seed=0)
    without = [{k: v for k, v in r.items() if k != "site"} for r in listed]
    with pytest.raises(ValueError, match="nobody is of site AA; sites of this set: none."):
        tumours.split_of(without, "AA", seed=0)


def test_a_result_of_a_site_is_no_fold(tmp_path):
    (tmp_path / "glioma_flair_HT_0.json").write_text("{}")
    assert tumours_table.results_of("glioma_flair", tmp_path) == []


@pytest.mark.parametrize(("column", "held"), [("fold", 0), ("site", "AA")])
def test_a_patient_in_two_folds_or_sites_is_refused(column, held):
    listed = rows()
    listed[1][column] = "4"
    with pytest.raises(ValueError, match=f"a patient is in two {column}s"):
        tumours.split_of(listed, held, 0)


def scores(method, label, value, person="p"):
    keys = ("pixel_ap", "best_dice", "pointing", "energy")
    dice = list(np.linspace(value, 0, len(tumour_scores.RULES)))
    own = {"subject": person, "group": "axial", "size": len(person)}
    return {"method": method, "label": label, "dice": dice, **own, **dict.fromkeys(keys, value)}


@pytest.fixture
def results(tmp_path):
    """Two folds; ours is worth 0.8, its levels 0.1, LayerCAM 0.4, and 0.5 read alike."""
    values = {tumour_scores.OURS: 0.8, tumours_table.NO_FINE: 0.7, "mean mask of the class": 0.2, "MONAI Grad-CAM": 0.1}
    values |= {f"{tumour_scores.OURS}, level {i} alone": 0.1 for i in (1, 2)}
    values |= {"TorchCAM LayerCAM, mean": 0.4, tumour_scores.RIVAL: 0.5, tumour_scores.RIVAL + tumour_scores.UNMOVED: 0.7}
    common = {"machine": {"cpu": "x", "threads": 1}, "versions": {"torch": "2"}, "commit": "c", "seed": 0, "minutes": 9.0}
    for fold in (0, 1):
        logits = [{"method": "", "label": i % 2, "logits": [0, (i % 2) - 0.5], "plain": [0, 0.1]} for i in range(4)]
        own = [*logits, *(scores(m, 1, v + 0.01 * fold) for m, v in values.items())]
        found = tumour_scores.summary(own, own)
        (tmp_path / f"glioma_flair_{fold}_0.json").write_text(json.dumps(common | {"fold": fold} | found))
        (tmp_path / f"glioma_flair_variant_{fold}_0.json").write_text("{}")
    return tmp_path


def test_targets_are_met_and_missed_by_the_numbers(results):
    found = {
        line[0]: line[2:] for line in tumours_table.targets("glioma_flair", tumours_table.results_of("glioma_flair", results))
    }
    assert found["AUC"] == ["1.000 [1.000, 1.000]", "yes"]
    assert found["pixel AP, ours / best other map of the plain CNN"] == ["1.988 [1.976, 2.000]", "yes"]
    assert found["pixel AP, ours / best other map, read as ours"][1] == "yes"
    assert found["AP of the sum / of its best level"][1] == "yes"
    assert found["pointing"] == ["0.805 [0.800, 0.810]", "no"]


def test_people_of_two_seeds_are_counted_once(results):
    found = tumours_table.results_of("glioma_flair", results)
    again = [{**r, "seed": 1} for r in found]
    assert tumours_table.groups(found + again) == tumours_table.groups(found)


def test_steps_are_shown_where_all_of_them_have_results(results):
    found = tumours_table.steps("glioma_flair", results, tumours_table.STEPS["glioma_flair"])
    assert [row[1] for row in found] == ["0.705", "0.805", ""]
    assert found[-1][0] == "of folds 0, 1, each with seed 0"
    assert tumours_table.steps("brain_tumor_t1ce", results, tumours_table.STEPS["brain_tumor_t1ce"]) == []


def test_seeds_are_shown_where_there_are_several(results):
    assert tumours_table.seeds("glioma_flair", results) == []
    again = json.loads((results / "glioma_flair_1_0.json").read_text()) | {"seed": 1}
    (results / "glioma_flair_1_1.json").write_text(json.dumps(again))
    found = tumours_table.seeds("glioma_flair", results)
    assert [row[:2] for row in found] == [["0", "0.810"], ["1", "0.810"], ["over fold 1", ""]]


def test_networks_are_spelled_out_where_a_fold_lacks_a_seed():
    assert tumours_table.spelled([(0, 0), (0, 1), (1, 0)]) == "fold 0 with seeds 0, 1; fold 1 with seed 0"
    assert tumours_table.spelled([(0, 0)]) == "fold 0 with seed 0"


def test_a_site_that_is_held_out_has_a_line_and_is_in_no_mean(results):
    folds = tumours_table.results_of("glioma_flair", results)
    assert tumours_table.sites(tumours_table.results_of("glioma_flair", results, held=tumours_table.SITE)) == []
    held = {**{k: v for k, v in folds[0].items() if k != "fold"}, "site": "HT"}
    (results / "glioma_flair_small_cnn_HT_0.json").write_text(json.dumps(held))
    assert tumours_table.apart_of("glioma_flair", results) == (", StageCNN", [held])
    (results / "glioma_flair_HT_0.json").write_text(json.dumps(held))
    assert tumours_table.apart_of("glioma_flair", results) == ("", [held])
    assert tumours_table.results_of("glioma_flair", results) == folds
    apart = tumours_table.results_of("glioma_flair", results, held=tumours_table.SITE)
    (line,) = tumours_table.sites(apart)
    assert line[:5] == ["HT", "0", "1.000", "1.000", "0.800"]
    assert line[-1] == "1.60 (TorchCAM LayerCAM, mean)"
    found = tumours_table.targets("glioma_flair", folds, apart)
    assert found[1] == ["AUC, each site held out whole (1 networks)", ">= .93", "1.000 [1.000, 1.000]", "yes"]


def test_the_page_is_filled_between_its_marks(results, tmp_path):
    page = tmp_path / "page.md"
    marks = "".join(f"a\n<!-- {n} -->\nstale\n<!-- end of {n} -->\n" for n in MARKS)
    page.write_text(marks)
    tumours_table.main(page, results)
    text = page.read_text()
    assert "stale" not in text
    assert "2 networks (folds 0, 1, each with seed 0)" in text
    assert "Not measured yet." in text
    tumours_table.main(page, results)
    assert page.read_text() == text


@pytest.fixture
def peers(results):
    """A network with a map of its own and two of its levels, on one of two folds."""
    (results / "peers").mkdir()
    values = {"AME-CAM": 0.3, "AME-CAM, exit 1": 0.1, "AME-CAM, exit 2": 0.4, "AME-CAM, along edges": 0.5}
    lines = tumour_scores.map_lines(*[[scores(m, 1, v) for m, v in values.items()]] * 2)
    common = {
        "fold": 0,
        "seed": 0,
        "commit": "d",
        "peer": "ame_cam",
        "title": "AME-CAM",
        "method": "AME-CAM",
        "reads_masks": False,
    }
    common |= {"parameters": 2_800_000, "epochs": [10, 3], "processor_minutes": 9.6, "network": {"auc": 0.9, "macro_f1": 0.8}}
    (results / "peers" / "glioma_flair_ame_cam_0_0.json").write_text(json.dumps(common | {"maps": lines}))
    ceiling = {
        "peer": "unet",
        "title": "U-Net",
        "method": "U-Net",
        "reads_masks": True,
        "maps": {"U-Net": lines["AME-CAM, exit 2"]},
    }
    (results / "peers" / "glioma_flair_unet_0_0.json").write_text(json.dumps(common | ceiling))
    return results


def test_other_networks_stand_beside_ours_on_the_same_folds(peers):
    text = tumours_table.networks("glioma_flair", peers)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")][2:]
    assert "fold 0 with seed 0; commits of the other networks d." in text
    assert [line[0] for line in lines] == ["HR-CAM (ours)", "**U-Net**", "AME-CAM", "", ""]
    assert lines[0][5:7] == ["HR-CAM", "0.800"]  # of fold 0 alone: fold 1 is worth 0.81
    assert lines[2][1:7] == ["0.900", "2.80 M", "10 + 3", "10", "AME-CAM", "0.300"]
    assert [line[5] for line in lines[3:]] == ["AME-CAM, along edges", "AME-CAM, exit 2 (the best, chosen with the masks)"]
    assert tumours_table.networks("brain_tumor_t1ce", peers) == "Not measured yet.\n"


def test_tables_of_other_networks_are_written_alone(peers, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {n} -->\nstale {n}.\n<!-- end of {n} -->\n" for n in MARKS))
    tumours_table.main(page, peers, peers_only=True)
    assert "stale glioma_flair." in page.read_text()
    assert page.read_text().count("stale") == len(tumours.CLASSES)


def test_what_is_known_without_an_image_is_learnt_of_other_people():
    """Heights of slices tell the class of every person alike; whose a slice is tells nothing of a person held out."""
    listed = [r | {"relative_z": str(i % 3 / 3 + 0.01 * (i % 7))} for i, r in enumerate(rows(slices=6))]
    for i, r in enumerate(listed):
        r["class"] = ("none", "tumour")[i % 3 > 1]
    found = tumours_without_image.told(listed, "glioma_flair", ["relative_z"], 0)
    assert found["auc"] == 1
    assert tumours_without_image.told(listed, "glioma_flair", ["patient"], 0)["auc"] == 0.5


def test_the_table_of_what_is_known_without_an_image(tmp_path):
    folds = {"glioma_flair": {"site": [{"auc": 0.5, "macro_f1": 0.4}, {"auc": 0.6, "macro_f1": 0.4}]}}
    folds["brain_tumor_t1ce"] = {"view": [{"macro_f1": 0.3}]}
    (tmp_path / "without_image.json").write_text(json.dumps({"folds": folds}))
    assert tumours_table.without_image(tmp_path).splitlines()[2:] == [
        "| glioma_flair | site | 0.550 [0.500, 0.600] | 0.400 [0.400, 0.400] |",
        "| brain_tumor_t1ce | view |  | 0.300 [0.300, 0.300] |",
    ]


def test_slices_are_chosen_by_a_rule():
    data = [{"mask": np.ones((1, 2, 2, 1)) * (i % 3 > 0), "label": i % 2} for i in range(60)]
    found = tumours_picture.chosen(data, 5)
    assert [data[i]["label"] for i in found] == [0, 0, 0, 1, 1]
    assert all(data[i]["mask"].any() for i in found)
    assert found == tumours_picture.chosen(data, 5)


def test_people_not_slices_are_drawn_for_intervals():
    rows = [scores(m, 1, v * (1 + len(p)), p) for p in ("a", "bb", "ccc") for m, v in (("x", 0.2), ("y", 0.1)) for _ in range(5)]
    found = tumour_scores.over_people(rows, "x", "y")
    assert (found["all"]["people"], found["all"]["slices"]) == (3, 15)
    assert found["all"]["ratio"] == pytest.approx(2)
    assert found["all"]["ratio_ci95"] == pytest.approx([2, 2])
    low, high = found["all"]["pixel_ap_ci95"]
    assert low < found["all"]["pixel_ap"] < high
    assert found["small tumours"]["people"] == 1
    assert set(found) == {"all", "axial", "small tumours", "middling tumours", "large tumours"}


def test_false_peaks_are_counted_above_what_most_tumours_reach():
    inside = [{"method": "", "inside": float(v)} for v in range(1, 11)]
    without = [{"method": "", "peaks": [9.0, 2.0]}, {"method": "", "peaks": []}]
    found = tumour_scores.false_peaks([*inside, *without], inside)
    assert found["point"] == pytest.approx(1.9)
    assert (found["a_slice"], found["sensitivity"], found["slices"]) == (1.0, 0.9, 2)
    assert tumour_scores.false_peaks(inside, inside) is None


def test_every_rule_takes_what_lies_above_its_threshold_and_nothing_of_a_flat_map():
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    heat = np.where(mask, 4.0, -4.0)
    assert tumour_scores.dice_by_rule(heat, mask) == [1.0] * len(tumour_scores.RULES)
    assert tumour_scores.dice_by_rule(np.zeros((4, 4)), mask) == [0.0] * len(tumour_scores.RULES)


def test_moving_along_edges_after_the_flips_is_moving_in_each():
    network = HRCAMNet(StageCNN(channels=(4, 8, 8), convs=(1, 1, 1)), num_classes=2, pooling="lse", reference=0).eval()
    ours = Candidate("ours", network, HRCAMInferer(slice_axis=2, flip_axes=[0], edges=3))
    plain = Candidate("plain", StageCNN(channels=(4, 8, 8), convs=(1, 1, 1), num_classes=2).eval(), ours.inferer)
    image = torch.rand(1, 1, 16, 16, 1)
    logits, maps = tumour_scores.maps_of(ours, tumour_scores.peers_of(plain), image, 1)
    whole, named = ours.read(image, 1)
    torch.testing.assert_close(maps[tumour_scores.OURS], named["HR-CAM, ours"])
    torch.testing.assert_close(logits, whole)
    assert not torch.equal(maps[tumour_scores.OURS], maps[tumour_scores.OURS + tumour_scores.UNMOVED])
    assert {tumour_scores.RIVAL, tumour_scores.RIVAL + tumour_scores.UNMOVED} <= set(maps)


@pytest.mark.parametrize("masked", [True, False])
def test_our_maps_alone_are_scored_as_beside_others(masked):
    network = HRCAMNet(StageCNN(channels=(4, 8, 8), convs=(1, 1, 1)), num_classes=2, pooling="lse", reference=0).eval()
    ours = Candidate("ours", network, HRCAMInferer(slice_axis=2))
    plain = Candidate("plain", StageCNN(channels=(4, 8, 8), convs=(1, 1, 1), num_classes=2).eval(), ours.inferer)
    mask = np.zeros((1, 16, 16, 1))
    mask[:, 2:6, 2:6] = masked
    slices = [{"image": torch.rand(1, 16, 16, 1), "label": int(masked), "mask": mask, "subject": "a", "grade": ""}]
    alone = list(tumour_scores.scored(slices, ours, plain))
    assert not [r for r in alone if not r["method"].startswith(tumour_scores.OURS) and r["method"]]
    fitted = tumours.fitted_to(plain, [slices[0] | {"label": k, "subject": s} for k in (0, 1) for s in "ab"], 2)
    beside = list(tumour_scores.scored(slices, ours, plain, fitted, {1: mask[0]}))
    shown = [r for r in beside if not r["method"] or r["method"] in {a["method"] for a in alone}]
    assert alone == shown
    assert len(beside) > len(alone) or not masked

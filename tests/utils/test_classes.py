from __future__ import annotations

from hrcam_monai.utils.classes import Classes


def test_with_a_reference_the_others_are_findings():
    classes = Classes.of(["normal", "tumour", "stroke"])
    assert (classes[1], list(classes), classes.index("stroke"), len(classes)) == ("tumour", ["normal", "tumour", "stroke"], 2, 3)
    assert [classes.are_marked(i) for i in range(3)] == [False, True, True]
    assert [classes.label_names[classes.label_value(i)] for i in (1, 2)] == ["tumour", "stroke"]


def test_where_each_is_a_finding_a_label_map_has_a_value_for_each():
    classes = Classes.of(["ependymoma", "glioblastoma"], first_is_finding=True)
    assert [classes.are_marked(i) for i in range(2)] == [True, True]
    assert [classes.label_names[classes.label_value(i)] for i in range(2)] == list(classes)
    assert Classes.of(classes) is classes

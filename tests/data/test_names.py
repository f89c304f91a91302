from __future__ import annotations

import pytest

from hrcam_monai.data.names import alike_names, names_files


@pytest.mark.parametrize("name", ["sub-01", "7", "Anna B.", "p_3", "Größe"])
def test_a_name_that_can_name_files(name):
    assert names_files(name)


@pytest.mark.parametrize("name", ["", "../sub-01", "a/b", "a\\b", ".hidden", "-x", "a\nb", "a:b", "*"])
def test_a_name_that_leads_elsewhere_or_cannot_name_files(name):
    assert not names_files(name)


def test_names_of_one_class_written_in_two_ways():
    assert alike_names(["control", "Patient", "patient"]) == "'Patient' and 'patient' mean the same"
    assert alike_names(["a  b", "a b"]) == "'a  b' and 'a b' mean the same"
    assert alike_names(["1", "1.0"]) == "'1' and '1.0' mean the same"
    assert alike_names(["1", "2", "one"]) == ""

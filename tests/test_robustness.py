"""docs/robustness.md: each case has its test, and its tables are those of the results."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "robustness.md"
ROWS = [line for line in PAGE.read_text().partition("## dcm2niix")[0].splitlines() if re.match(r"\| (?!case |fault |-)", line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_the_test_of_each_case_is_there(row):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
    assert named
    for file, name in named:
        functions = {n.name for n in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(n, ast.FunctionDef)}
        assert name in functions, f"{file}::{name}"


def test_every_section_of_cases_is_told():
    assert len(ROWS) > 50

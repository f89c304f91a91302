from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

import hrcam_monai
from hrcam_monai.utils.templates import render

PACKAGE = Path(hrcam_monai.__file__).parent
TAG = re.compile(
    r"<(?:/?(?:html|head|body|table|tr|td|th|p|a|img|li|ul|div|span|script|style|button|h[1-6])\b[^>]*)>", re.IGNORECASE
)


def test_what_is_put_in_is_escaped_and_missing_names_are_told():
    values = {
        "columns": ["<i>"],
        "lines": [],
        "threshold": {"share": 0.5, "scale": "evidence"},
        "shown": "<b>&",
        "failures": [],
        "made": "now",
    }
    page = render("report.html", **values)
    assert "&lt;i&gt;" in page
    assert "'&lt;b&gt;&amp;'" in page
    assert "{{" not in page
    with pytest.raises(UndefinedError, match="'made' is undefined"):
        render("report.html", **{k: v for k, v in values.items() if k != "made"})
    with pytest.raises(TemplateNotFound):
        render("none.html")


def test_no_html_is_built_in_python():
    built = []
    for file in PACKAGE.rglob("*.py"):
        texts = [
            n.value for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        built += [f"{file.relative_to(PACKAGE)}: {text[:40]}" for text in texts if TAG.search(text)]
    assert not built

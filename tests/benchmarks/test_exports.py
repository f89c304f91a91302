from __future__ import annotations

from functools import partial

import cases
import exports
import tables

from hrcam_monai.networks import StageCNN


def test_every_form_is_timed_and_equals_the_eager_one(monkeypatch):
    monkeypatch.setitem(exports.FORMS, exports.COMPILED, lambda *_: 1 / 0)  # as on a machine without a compiler
    backbone = partial(StageCNN, 2, channels=(3, 5), convs=(1, 1))
    case = cases.Case("tiny", "tiny", (2, 1, 32, 40), backbone, "stages.1", "fc")
    found = exports.run_case(case, rounds=2)
    rows = {row["form"]: row for row in found["forms"]}
    assert list(rows) == ["plain forward", *exports.FORMS]
    assert rows[exports.COMPILED]["reason"] == "ZeroDivisionError: division by zero"
    for form in (exports.EAGER, exports.SCRIPTED, exports.ONNX):
        assert rows[form]["difference"] < 1e-5
        assert rows[form]["ratio"]["median"] > 0
    text = tables.exports_section({"cases": [found]})
    assert "| torch.compile | failed: ZeroDivisionError: division by zero |" in text
    assert "### tiny, input 2x1x32x40" in text

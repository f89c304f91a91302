from __future__ import annotations

import json
from pathlib import Path

import pytest

from hrcam_monai.workflows.configs import bundle_parser, find_config

BUNDLE = Path(__file__).parents[2] / "bundle"


def test_configs_are_found_by_name_and_by_path(tmp_path):
    assert find_config(BUNDLE, "tasks/glioma_flair") == BUNDLE / "configs" / "tasks" / "glioma_flair.json"
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert find_config(BUNDLE, str(own)) == own
    with pytest.raises(FileNotFoundError, match="^nowhere: no such config; give --bundle-root, or the name or path of a config"):
        find_config(BUNDLE, "nowhere")


def test_later_overlays_and_options_win(tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({"sharpness": 3.0, "edges": 2}))
    parser = bundle_parser(BUNDLE, ["pictures", str(tmp_path / "own.json")], "inference", edges=5)
    assert parser.get_parsed_content("roi_size") == [96, 96, 1]
    assert parser.get_parsed_content("inferer").sharpness == 3.0
    assert parser.get_parsed_content("edges") == 5

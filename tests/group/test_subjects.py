from __future__ import annotations

import json

import numpy as np

from hrcam_monai.data.manifest import load_manifest
from hrcam_monai.data.writing import write_volume
from hrcam_monai.group.subjects import find_subjects
from hrcam_monai.utils.csv_files import write_csv


def test_scans_of_one_person_are_one_subject(tmp_path):
    """Inference names the second scan `a_2`; the manifest tells whose it is."""
    (tmp_path / "maps").mkdir()
    rows, entries = [], []
    for name, subject in (("a", "a"), ("a_2", "a"), ("b", "b")):
        for file in (tmp_path / f"{name}.nii.gz", tmp_path / "maps" / f"{name}_map.nii.gz"):
            write_volume(np.ones((2, 2, 2), np.float32), np.eye(4), file)
        rows.append({"subject": name, "file": str(tmp_path / f"{name}.nii.gz"), "map_class": "ill"})
        entries.append({"image": f"{name}.nii.gz", "label": "ill", "subject": subject})
    write_csv(tmp_path / "predictions.csv", rows)
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": ["well", "ill"], "test": entries}))
    shown, found = find_subjects(tmp_path, load_manifest(tmp_path))
    assert (shown, [(s.name, len(s.images)) for s in found]) == ("ill", [("a", 2), ("b", 1)])

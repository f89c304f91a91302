from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import second_lesions
from nilearn.datasets import load_mni152_template
from typer.testing import CliRunner

from hrcam_monai.data import load_manifest


def anatomy(folder):
    path = folder / "brain.nii.gz"
    nib.save(load_mni152_template(resolution=4), path)
    return path


def test_grades_differ_and_normal_heads_have_no_lesion(tmp_path):
    path = anatomy(tmp_path)
    made = {g: second_lesions.make_subject(path, np.random.default_rng(0), g, 4.0) for g in ("none", "plain", "faint")}
    assert not made["none"][1].any()
    assert made["none"][3] == "none"
    for grade in ("plain", "faint"):
        image, mask, affine, kind = made[grade]
        assert kind in ("bright", "dark", "mixed")
        assert image.shape == mask.shape
        assert image.dtype == np.int16
        assert mask.any()
        assert (image[mask > 0] > 0).all()
        assert np.allclose(np.abs(np.diag(affine))[:3], 4)


def test_a_cohort_that_the_bundle_reads(tmp_path):
    import typer

    app = typer.Typer()
    app.command()(second_lesions.main)
    for name in ("a", "b"):
        done = CliRunner().invoke(app, ["--output", str(tmp_path / name), "--anatomy", str(anatomy(tmp_path)), "--spacing", "5"])
        assert done.exit_code == 0, done.output
    items = load_manifest(tmp_path / "a").items("test", masks=True)
    assert [i["grade"] for i in items] == list(second_lesions.PLAN)
    assert json.loads((tmp_path / "a" / "simulation.json").read_text()) == {"people": 1, "seed": 2, "spacing": 5.0}
    for item in items:  # same seed, same bytes of voxels
        other = item["image"].replace(str(tmp_path / "a"), str(tmp_path / "b"))
        assert np.array_equal(nib.load(item["image"]).dataobj, nib.load(other).dataobj)

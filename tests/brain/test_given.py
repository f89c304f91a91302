"""A brain mask that a person gives is used as it is."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hrcam_monai.brain import FindBrainMaskd, StripBraind
from hrcam_monai.data import ManifestError
from hrcam_monai.transforms import LoadMaskd, LoadScand
from hrcam_monai.workflows.model_folder import run_model
from tests.brain.heads import whole_head


def written(folder, mask_affine=None):
    """A head, and a mask of the left half of its brain, as files."""
    image, brain, affine = whole_head(3.0)
    half = brain.copy()
    half[: len(half) // 2] = False
    (folder / "heads").mkdir(parents=True)
    (folder / "masks").mkdir()
    nib.save(nib.Nifti1Image(image, affine), folder / "heads" / "sub-1.nii.gz")
    mask_affine = affine if mask_affine is None else mask_affine
    nib.save(nib.Nifti1Image(half.astype(np.uint8), mask_affine), folder / "masks" / "sub-1_brain.nii.gz")
    return image, half, affine


def read(folder, place, strip="auto"):
    steps = (
        FindBrainMaskd(place),
        LoadScand("image"),
        LoadMaskd(["mask", "given_brain"]),
        StripBraind("image", strip=strip, brain_key="brain"),
    )
    item = {"image": str(folder / "heads" / "sub-1.nii.gz"), "subject": "sub-1"}
    for step in steps:
        item = step(item)
    return item


@pytest.mark.parametrize("strip", ["auto", "always", "never"])
def test_it_is_used_whatever_strip_says(tmp_path, strip):
    image, half, affine = written(tmp_path)
    for place in (tmp_path / "masks", f"{tmp_path}/masks/{{subject}}_*.nii.gz"):
        made = read(tmp_path, place, strip)
        np.testing.assert_allclose(made["image"][0].numpy(), (image - min(image.min(), 0)) * half, rtol=1e-5)
        np.testing.assert_array_equal(made["brain"][0].numpy(), half)
        np.testing.assert_array_equal(made["brain"].affine, affine)
        assert made["head"] == f"brain mask given, {half.sum() * 27 / 1e6:.2f} l"
        assert "given_brain" not in made


def test_none_is_named_where_none_is_given():
    item = {"image": "x", "subject": "s"}
    assert FindBrainMaskd(None)(item) == item


def test_air_below_zero_becomes_zero():
    image, brain, affine = whole_head(3.0)
    low = MetaTensor(torch.from_numpy(image - 1000)[None], affine=torch.from_numpy(affine))
    mask = MetaTensor(torch.from_numpy(brain.astype(np.float32))[None], affine=torch.from_numpy(affine))
    made = StripBraind("image")({"image": low, "given_brain": mask})
    assert made["image"].min() == 0
    assert (made["image"][0].numpy()[brain] > 0).all()
    assert "brain" not in made


def test_what_is_no_mask_of_it(tmp_path):
    written(tmp_path / "far", mask_affine=np.diag([3.0, 3.0, 3.0, 1.0]))
    with pytest.raises(ValueError, match=r"sub-1_brain\.nii\.gz: mask lies elsewhere than its image; resample it"):
        read(tmp_path / "far", tmp_path / "far" / "masks")
    _, half, affine = written(tmp_path / "empty")
    nib.save(nib.Nifti1Image(np.zeros(half.shape, np.uint8), affine), tmp_path / "empty" / "masks" / "sub-1_brain.nii.gz")
    expected = r"sub-1\.nii\.gz: the brain mask given of it is empty; draw it, or leave brain_masks out\.$"
    with pytest.raises(ValueError, match=expected):
        read(tmp_path / "empty", tmp_path / "empty" / "masks")
    with pytest.raises(ValueError, match=r"^brain_masks: .*masks has no file of sub-2; make one, or leave the subject out\.$"):
        FindBrainMaskd(tmp_path / "empty" / "masks")({"subject": "sub-2"})
    with pytest.raises(ManifestError, match=r"^brain_masks nowhere: no such folder"):
        FindBrainMaskd("nowhere")


def test_through_inference_and_the_others_are_processed(tmp_path, bundle_root):
    _, half, _ = written(tmp_path)
    shutil.copy(tmp_path / "heads" / "sub-1.nii.gz", tmp_path / "heads" / "sub-2.nii.gz")
    options = {"brain_masks": str(tmp_path / "masks"), "num_workers": 0, "map_class": "abnormal"}
    with pytest.raises(SystemExit) as ended:
        run_model("inference", bundle_root / "models", tmp_path / "heads", tmp_path / "out", settings=options)
    assert ended.value.code == 1
    line = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(line) == 2
    assert "brain mask given" in line[1]
    assert "sub-2; make one, or leave the subject out." in (tmp_path / "out" / "failures.csv").read_text()
    heat = np.asarray(nib.load(tmp_path / "out" / "maps" / "sub-1_map.nii.gz").dataobj)
    assert heat.any()
    assert not heat[~half].any()
    kept = np.asarray(nib.load(tmp_path / "out" / "maps" / "sub-1_brain.nii.gz").dataobj)
    np.testing.assert_array_equal(kept, half)
    assert json.loads((tmp_path / "out" / "settings.json").read_text())

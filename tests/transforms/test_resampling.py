from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd

from hrcam_monai.transforms.resampling import FitInPlaned

KEYS = ["image", "mask"]


@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (7, 7)])
def test_slices_fit_and_come_back(shape):
    affine = torch.diag(torch.tensor([1.0, -1.0, 3.0, 1.0], dtype=torch.float64))
    values = torch.zeros(1, *shape, 1)
    values[:, : shape[0] // 2] = 1
    item = {k: MetaTensor(values.clone(), affine=affine) for k in KEYS}
    steps = Compose([FitInPlaned(KEYS, 20), FitInPlaned("other", 20, allow_missing_keys=True)])
    fitted = steps(item)
    assert max(fitted["image"].shape[1:3]) == 20
    assert fitted["image"].shape[3] == 1
    assert round(20 * min(shape) / max(shape)) == min(fitted["image"].shape[1:3])
    back = steps.inverse(fitted)
    for key in KEYS:
        assert back[key].shape == (1, *shape, 1)
        np.testing.assert_allclose(back[key].affine, affine, atol=1e-6)
        assert (back[key] - values).abs().mean() < 0.1


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "PIR", "LSA", "RIP"])
def test_a_slice_of_any_plane_lies_as_its_picture_would(codes):
    """Axial: left to right, back to front; sagittal: back to front, up; coronal: left to right, up; and back again."""
    values = torch.arange(48.0).view(1, 6, 8, 1)
    places = nib.orientations.axcodes2ornt(codes)
    affine = nib.orientations.inv_ornt_aff(places, (6, 8, 1)) @ np.diag([2.0, 2.0, 5.0, 1.0])
    steps = Compose([Orientationd(KEYS, axcodes="RAS", labels=None), FitInPlaned(KEYS, 8, "nearest")])
    item = {k: MetaTensor(values.clone(), affine=torch.from_numpy(np.linalg.inv(affine))) for k in KEYS}
    before = nib.aff2axcodes(item["image"].affine.numpy())
    fitted = steps(item)
    across = {"L": "R", "R": "R", "P": "A", "A": "A", "I": "S", "S": "S"}[before[2]]
    assert (
        nib.aff2axcodes(fitted["image"].affine.numpy())
        == {"S": ("R", "A", "S"), "R": ("A", "S", "R"), "A": ("R", "S", "A")}[across]
    )
    assert fitted["image"].shape[3] == 1
    back = steps.inverse(fitted)
    for key in KEYS:
        torch.testing.assert_close(back[key].as_tensor(), values)
        np.testing.assert_allclose(back[key].affine, item[key].affine, atol=1e-6)


def test_a_volume_is_refused():
    item = {"image": MetaTensor(torch.rand(1, 6, 5, 7)), "file": "scan.nii.gz"}
    with pytest.raises(
        ValueError, match=r"^scan.nii.gz: is a volume of 6 x 5 x 7, and its network reads single slices; save the"
    ):
        FitInPlaned("image", 20)(item)

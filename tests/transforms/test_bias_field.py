from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hrcam_monai.transforms.bias_field import CorrectBiasFieldd


def head(field=0.0, spacing=4.0):
    """[1, 32, 32, 32] of two tissues, and a field that makes one side brighter."""
    x, y, z = np.meshgrid(*[np.linspace(-1.2, 1.2, 32)] * 3, indexing="ij")
    inside = x**2 + y**2 + z**2 < 1
    tissue = np.where(np.sin(6 * x) * np.sin(6 * y) * np.sin(6 * z) > 0, 100, 140)
    tissue = tissue + np.random.default_rng(0).normal(0, 2, x.shape)
    return MetaTensor(
        torch.from_numpy((tissue * inside * np.exp(field * x))[None].astype(np.float32)),
        affine=torch.diag(torch.tensor([-spacing, spacing, spacing, 1.0])),
    )


@pytest.mark.parametrize("spacing", [2.0, 4.0])
def test_a_field_is_taken_out_on_the_networks_grid(spacing):
    truth, uneven = head(spacing=spacing), head(0.35, spacing)
    found = CorrectBiasFieldd("image", method="n4")({"image": uneven})["image"]
    inside = truth > 0
    assert (found[inside] / truth[inside]).log().std() < 0.4 * (uneven[inside] / truth[inside]).log().std()
    assert not found[~inside].any()
    assert found.dtype == torch.float32
    assert torch.equal(found.affine, uneven.affine)


def test_each_channel_by_itself_and_none_changed_in_place():
    image = MetaTensor(torch.cat([head(), head(0.35)]).as_tensor(), affine=head().affine)
    before = image.clone()
    found = CorrectBiasFieldd("image", method="n4")({"image": image})["image"]
    alone = CorrectBiasFieldd("image", method="n4")({"image": head(0.35)})["image"]
    assert torch.equal(found[1:].as_tensor(), alone.as_tensor())
    assert torch.equal(image, before)


def test_without_a_method_images_stay_as_they_are():
    image = head(0.35)
    assert CorrectBiasFieldd("image")({"image": image})["image"] is image


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_air_and_even_images_have_no_field(value):
    image = MetaTensor(torch.full((1, 16, 16, 16), value))
    assert torch.equal(CorrectBiasFieldd("image", method="n4")({"image": image})["image"], image)


def test_negative_intensities_are_left_and_told(caplog):
    image = head() - 120 * (head() > 0)
    with caplog.at_level(logging.WARNING):
        found = CorrectBiasFieldd("image", method="n4")({"image": image, "head": "stripped already", "file": "a/b.nii.gz"})
    assert torch.equal(found["image"], image)
    assert found["head"] == "stripped already, bias field left: it has negative intensities"
    assert caplog.messages == [
        "a/b.nii.gz: bias field left: it has negative intensities (normalised already?); give the scan as it was taken."
    ]


def test_a_few_negative_voxels_do_not_keep_a_field(caplog):
    truth, uneven = head(), head(0.35)
    uneven[:, 16, 16, :12] = -1.0
    found = CorrectBiasFieldd("image", method="n4")({"image": uneven})["image"]
    inside = (truth > 0) & (uneven > 0)
    assert (found[inside] / truth[inside]).log().std() < 0.4 * (uneven[inside] / truth[inside]).log().std()
    assert (found[:, 16, 16, :12] <= 0).all()
    assert not caplog.messages


def test_bad_input():
    with pytest.raises(ValueError, match=r"^bias_correction is 'n3'; choose one of n4, or null\.$"):
        CorrectBiasFieldd("image", method="n3")
    with pytest.raises(ValueError, match=r"^bias_correction is n4, but images are not volumes; set it to null\.$"):
        CorrectBiasFieldd("image", method="n4")({"image": MetaTensor(torch.rand(1, 8, 8))})

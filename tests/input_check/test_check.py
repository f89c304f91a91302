from __future__ import annotations

import logging

import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import RandScaleIntensityd

from hrcam_monai.input_check import CheckInputd, check_file, write_input_check
from hrcam_monai.input_check.check import read_input_check
from hrcam_monai.networks import HRCAMNet, StageCNN
from hrcam_monai.weights import save_weights


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        image = torch.zeros(1, 24, 20, 8)
        image[:, 4:20, 4:16, 1:7] = torch.randn(16, 12, 6, generator=generator)
        made.append({"image": MetaTensor(image)})
    return made


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    net = HRCAMNet(StageCNN(spatial_dims=2, channels=(4, 6), convs=(1, 1)), 2, spatial_dims=2)
    write_input_check(tmp_path / "model.pt", net, images(30, 0), images(20, 1), slice_axis=2)
    return tmp_path / "model.pt", net


def test_scans_like_the_training_ones_pass_and_others_are_told(trained, caplog):
    check = CheckInputd(*trained, slice_axis=2)
    assert check(images(1, 2)[0])["input_check"] == "as trained"
    assert not caplog.records
    odd = {"image": images(1, 2)[0]["image"].exp() * 3, "subject": "s1"}
    told = check(odd)["input_check"]
    assert told.startswith("unlike the training scans: ")
    assert "its contrast or weighting (" in told
    assert caplog.messages[0].startswith("s1: is unlike the scans that the network was trained on: ")
    with pytest.raises(ValueError, match=r"^scan.nii.gz: is unlike the scans .* Left out\.$"):
        CheckInputd(*trained, slice_axis=2, strict=True)(odd | {"file": "scan.nii.gz"})


def test_it_looks_through_the_weights_though_nobody_has_loaded_them(trained):
    """As a MONAI Label server has it: the network of the transform is another instance than the one that infers."""
    weights, net = trained
    save_weights(net, weights)
    torch.manual_seed(7)
    fresh = HRCAMNet(StageCNN(spatial_dims=2, channels=(4, 6), convs=(1, 1)), 2, spatial_dims=2)
    assert CheckInputd(weights, fresh, slice_axis=2)(images(1, 2)[0])["input_check"] == "as trained"
    assert all(torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), net.state_dict().values(), strict=True))


def test_images_that_vary_widen_what_is_known_and_vary_alike_each_time(trained, tmp_path):
    weights, net = trained
    shifted = {"image": images(1, 2)[0]["image"] * 1.6}
    assert "its contrast" in CheckInputd(weights, net, slice_axis=2)(shifted)["input_check"]
    for name in ("one.pt", "two.pt"):
        varied = Dataset(images(30, 0), RandScaleIntensityd("image", factors=0.9, prob=1.0))
        held_out = Dataset(images(20, 1), RandScaleIntensityd("image", factors=0.9, prob=1.0).set_random_state(1))
        write_input_check(tmp_path / name, net, varied, [held_out[i] for i in range(20)], slice_axis=2)
    one, two = (read_input_check(tmp_path / name) for name in ("one.pt", "two.pt"))
    assert all(torch.equal(one[name].mean, two[name].mean) for name in one)
    save_weights(net, tmp_path / "one.pt")
    assert CheckInputd(tmp_path / "one.pt", net, slice_axis=2)(shifted)["input_check"] == "as trained"


def test_without_a_file_nothing_is_known_and_a_torn_one_is_told(trained, caplog):
    weights, net = trained
    check_file(weights).write_bytes(b"torn")
    with pytest.raises(ValueError, match="inputs.pt: no whole file of a network's inputs .*; train again, or remove it"):
        CheckInputd(weights, net, slice_axis=2)(images(1, 2)[0])
    check_file(weights).unlink()
    check = CheckInputd(weights, net, slice_axis=2)
    with caplog.at_level(logging.WARNING):
        assert [check(images(1, i)[0])["input_check"] for i in (2, 3)] == ["not known"] * 2
    assert len(caplog.records) == 1
    with pytest.raises(
        ValueError, match=r"^a.png: nothing is kept of what .* so strict cannot let it pass; make it by `hrcam learn"
    ):
        CheckInputd(weights, net, slice_axis=2, strict=True)(images(1, 2)[0] | {"file": "a.png"})


def test_too_few_images_are_told(tmp_path, trained, caplog):
    write_input_check(tmp_path / "other.pt", trained[1], images(1, 0), [], slice_axis=2)
    assert not check_file(tmp_path / "other.pt").exists()
    assert caplog.messages == [f"{tmp_path / 'other.pt'}: too few images to tell later which scans are unlike them"]


def test_without_weights_nothing_is_known(trained, caplog):
    assert CheckInputd(None, trained[1], slice_axis=2)(images(1, 2)[0])["input_check"] == "not known"
    assert caplog.messages == ["no weights are given; whether scans are like those it was trained on is not known"]


def test_what_is_of_another_network_is_told(trained):
    other = HRCAMNet(StageCNN(spatial_dims=2, channels=(3, 5), convs=(1, 1)), 2, spatial_dims=2)
    with pytest.raises(ValueError, match="what is kept of the training images is of another network"):
        CheckInputd(trained[0], other, slice_axis=2)(images(1, 2)[0])


def test_an_exported_network_is_checked_by_the_image_alone(trained):
    weights, _ = trained
    assert CheckInputd(weights, torch.nn.Identity(), slice_axis=2)(images(1, 2)[0])["input_check"] == "as trained"

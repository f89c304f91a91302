from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
import torch
import tumour_peers
import tumours
from peers import PEERS
from peers.ame_cam import AMECAM, pull, push
from peers.gp_unet import GPUNet, GPUNetFromMeans
from peers.training import train
from peers.unet import MaskUNet
from torch.utils.data import DataLoader, TensorDataset

from tests.pictures import draw

THIN = (2, 3, 4, 4, 4, 2)
TINY = {
    "unet": (MaskUNet, THIN),
    "gp_unet": (GPUNet, THIN),
    "gp_unet_from_means": (GPUNetFromMeans, THIN),
    "ame_cam": (AMECAM, (4, 4, 6, 6)),
}
TASKS = [(2, 0), (3, None)]


def made(name, classes, reference):
    torch.manual_seed(0)
    cls, widths = TINY.get(name, (PEERS[name], None))
    return cls(classes, reference, widths).eval() if widths else cls(classes, reference).eval()


@pytest.mark.parametrize(("classes", "reference"), TASKS)
@pytest.mark.parametrize("name", PEERS)
def test_a_logit_a_class_and_maps_on_the_images_grid(name, classes, reference):
    network, x = made(name, classes, reference), torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        assert network(x).shape == (2, classes)
        maps = network.maps(x, classes - 1)
    assert network.method in maps
    assert {m.shape for m in maps.values()} == {(2, 1, 32, 48)}
    assert all(m.isfinite().all() for m in maps.values())


def test_only_the_ceiling_reads_masks():
    assert [name for name, peer in PEERS.items() if peer.reads_masks] == ["unet"]
    x, label = torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 1, 0])
    for name in set(PEERS) - {"unet"}:
        assert all(stage.loss(x, label, None).isfinite() for stage in made(name, 2, 0).stages())


def test_a_reference_that_is_not_the_first_class_is_refused():
    with pytest.raises(ValueError, match="reference is 1; the class that is no finding is the first, or there is none."):
        GPUNet(3, 1, THIN)


@pytest.mark.parametrize(("classes", "reference"), TASKS)
def test_the_maximum_of_gp_unets_map_is_its_logit(classes, reference):
    network, x = made("gp_unet", classes, reference), torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        for label in range(classes):
            torch.testing.assert_close(network.maps(x, label)["GP-UNet"].amax((1, 2, 3)), network(x)[:, label])
        above = [network.maps(x, label)["GP-UNet, less the other classes"] for label in range(classes)]
    torch.testing.assert_close(sum(above), torch.zeros_like(above[0]), atol=1e-5, rtol=0)


def test_a_mean_teaches_every_pixel_and_a_maximum_one():
    network, x, label = made("gp_unet_from_means", 2, 0), torch.randn(1, 1, 32, 32), torch.tensor([1])
    reached = []
    network.class_maps = lambda x: x.expand(-1, 2, -1, -1) * torch.tensor([1.0, 2.0])[:, None, None]
    for stage in network.stages():
        image = x.clone().requires_grad_()
        stage.loss(image, label, None).backward()
        reached.append(int((image.grad != 0).sum()))
    assert reached == [32 * 32, 1]


def test_the_unet_says_of_an_image_what_its_most_likely_pixel_says():
    network, x = made("unet", 2, 0), torch.randn(8, 1, 32, 32)
    with torch.no_grad():
        likely = network.maps(x, 1)[network.method].amax((1, 2, 3))
        torch.testing.assert_close(network(x).softmax(1)[:, 1], likely)
    three = made("unet", 3, None)
    with torch.no_grad():
        shares = [three.maps(x, k)[three.method] for k in range(3)]
        torch.testing.assert_close(sum(shares), three.maps(x, 0)["U-Net, probability of any tumour"])


def test_the_unet_learns_from_its_masks():
    network, x, label = made("unet", 3, None), torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 2, 2])
    mask = torch.zeros(4, 1, 32, 32)
    mask[..., 4:9, 5:11] = 1
    (stage,) = network.stages()
    assert stage.loss(x, label, mask) != stage.loss(x, label, mask.flip(-1))
    assert stage.loss(x, label, mask) != stage.loss(x, label.flip(0), mask)
    assert stage.loss(x, label, 0.6 * mask) == stage.loss(x, label, mask)  # what augmentation blurs is a mask again


def test_every_exit_of_ame_cam_learns_and_then_attention_alone():
    network = made("ame_cam", 3, None).train()
    x, label = torch.rand(6, 1, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2])
    exits, attention = network.stages()
    exits.loss(x, label, None).backward()
    assert all(exit_.weight.grad.abs().sum() > 0 for exit_ in network.exits)
    assert all(level[0].conv1.weight.grad.abs().sum() > 0 for level in list(network.levels)[1:])
    assert all(p.grad is None for p in network.attention.parameters())
    network.zero_grad()
    before = {k: v.clone() for k, v in network.classifier.state_dict().items()}
    attention.loss(x, label, None).backward()
    assert all(p.grad is None for p in network.classifier.parameters())
    assert network.attention[0].conv.weight.grad.abs().sum() > 0
    assert all(torch.equal(v, before[k]) for k, v in network.classifier.state_dict().items())  # batch statistics, too


def test_images_without_a_finding_are_no_part_of_the_contrast():
    network, x = made("ame_cam", 2, 0).train(), torch.rand(4, 1, 32, 32)
    _, attention = network.stages()
    nothing = attention.loss(x, torch.zeros(4, dtype=torch.long), None)
    assert nothing == 0
    nothing.backward()
    torch.manual_seed(1)
    both = attention.loss(x, torch.tensor([0, 1, 1, 0]), None)
    torch.testing.assert_close(both, attention.loss(x[1:3], torch.tensor([1, 1]), None))


def test_the_merged_map_lies_between_its_exits():
    network, x = made("ame_cam", 2, 0), torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        maps = network.maps(x, 1)
    exits = torch.cat([maps[f"AME-CAM, exit {i}"] for i in range(1, 5)], 1)
    assert (exits.amin((2, 3)) == 0).all()
    assert exits.amax() <= 1
    assert (maps["AME-CAM"] <= exits.amax(1, keepdim=True) + 1e-6).all()
    assert (maps["AME-CAM"] >= exits.amin(1, keepdim=True) - 1e-6).all()


def test_contrast_is_low_where_likes_are_alike():
    a, b = torch.tensor([[1.0, 0.0, 0.1]] * 3), torch.tensor([[0.0, 1.0, 0.1]] * 3)
    mixed = torch.rand(3, 3)
    assert pull(a) < pull(mixed)
    assert push(a, b) < push(a, mixed) < push(a, a)


def test_maps_of_a_mirrored_image_are_the_mirrored_maps():
    network, x = made("gp_unet", 2, 0), torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        found, mirrored = (tumour_peers.through_flips(lambda i: network.maps(i, 1), part, [0]) for part in (x, x.flip(2)))
    for name, heat in found.items():
        torch.testing.assert_close(mirrored[name], heat.flip(2))
    assert not torch.allclose(found["GP-UNet"], network.maps(x, 1)["GP-UNet"])


class Numbers(TensorDataset):
    """Images with a bright spot where the label is 1."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        label = torch.arange(24) % 2
        image = torch.rand(24, 1, 32, 32, generator=generator)
        image[label > 0, :, 8:14, 8:14] += 3
        super().__init__(image, label)

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return {"image": image, "label": label}


def trained(tmp_path, stop=None):
    """Stopped after so many epochs of all stages and taken up again, if told so."""
    network, loader, told = made("ame_cam", 2, 0), DataLoader(Numbers(), batch_size=8, shuffle=True), []
    stages = network.stages()
    network.stages = lambda: [replace(stage, epochs=2) for stage in stages]

    def validate(_network):
        if len(told) == stop:
            raise KeyboardInterrupt
        told.append(len(told))
        return float(len(told))

    return network, train(network, loader, validate, tmp_path / "checkpoint.pt", seed=3)


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, told = trained(tmp_path / "a")
    for stop in (1, 2):  # epochs done by then: 1, and 1 + 2
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "b", stop)
    parts, again = trained(tmp_path / "b")
    assert all(torch.equal(v, parts.state_dict()[k]) for k, v in whole.state_dict().items())
    assert [len(curve) for curve in told["validation"]] == [len(curve) for curve in again["validation"]] == [2, 2]
    finished, nothing = trained(tmp_path / "b", stop=0)  # not an epoch more
    assert torch.equal(finished.exits[0].weight, whole.exits[0].weight)
    assert nothing["seconds"] == again["seconds"]


@pytest.fixture
def source(tmp_path):
    """Ten people of two classes in five folds, three slices each."""
    folder = tmp_path / "data" / "glioma_flair"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    rows = []
    for person in range(20):
        for i in range(2):
            name, label = f"p{person:02d}_{i}.png", (person + i) % 2
            draw(folder / "images" / name, label, person * 10 + i, mask=folder / "masks" / name)
            row = {
                "image": f"images/{name}",
                "mask": f"masks/{name}" if label else "",
                "class": tumours.CLASSES["glioma_flair"][label],
            }
            rows.append(row | {"patient": f"p{person:02d}", "site": "AB", "fold": person % 5, "z": i, "relative_z": 0.5})
    with (folder / "slices.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_masks_reach_the_batches_of_the_ceiling_alone(source, tmp_path):
    folder = tmp_path / "run"
    tumours.write_manifest(source, "glioma_flair", 0, 0, folder)
    plain, told = (tumour_peers.training_loader("glioma_flair", folder, source, masks) for masks in (False, True))
    assert set(next(iter(plain))) == {"image", "label", "subject"}
    assert all("mask" not in item and "seeds" not in item for item in plain.dataset.items())
    batch = next(iter(told))
    assert batch["image"].shape == batch["seeds"].shape
    assert ((batch["seeds"] > 0.5).flatten(1).any(1) == (batch["label"] == 1)).all()
    marked, unmarked = (batch["image"][(batch["seeds"] > 0.5) == wanted] for wanted in (True, False))
    assert marked.mean() > unmarked.mean() + 0.5  # the mask was moved as its image was


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_network_is_trained_scored_and_left_alone_then(name, source, tmp_path, monkeypatch, capsys):
    cls, widths = TINY[name]

    class Tiny(cls):
        def __init__(self, classes, reference):
            super().__init__(classes, reference, widths)

        def stages(self):
            return [replace(stage, epochs=1) for stage in super().stages()]

    monkeypatch.setitem(PEERS, name, Tiny)
    options = {
        "data": source.parent,
        "name": "glioma_flair",
        "peer": name,
        "work": tmp_path / "work",
        "results": tmp_path / "out",
    }
    tumour_peers.main(**options)
    found = json.loads((tmp_path / "out" / f"glioma_flair_{name}_0_0.json").read_text())
    assert (found["peer"], found["fold"], found["seed"], found["reads_masks"]) == (name, 0, 0, name == "unet")
    assert 0 <= found["network"]["auc"] <= 1
    assert all(0 <= line["pixel_ap"] <= 1 and line["slices"] == 4 for line in found["maps"].values())
    assert {cls.method, f"{cls.method}, along edges"} <= set(found["maps"])
    assert len(found["validation_auc"]) == len(cls(2, 0, widths).stages())
    capsys.readouterr()
    tumour_peers.main(**options)
    assert "is there; removing it runs the fold again." in capsys.readouterr().out


def test_without_data_nothing_is_measured(tmp_path, capsys):
    tumour_peers.main(tmp_path, "glioma_flair", "unet", work=tmp_path / "work", results=tmp_path / "out")
    assert "nothing is measured" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from hrcam_monai.data import CachedCohort, Failures
from hrcam_monai.networks import HRCAMNet, StageCNN, locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds import SeedHandler, own_maps
from hrcam_monai.seeds.handler import image_and_target
from hrcam_monai.seeds.layer_cam import mirrored_layer_cam


def cohort(folder, shape=(24, 20, 1)):
    """A bright square where the label is 1."""
    items = []
    for i in range(4):
        image = torch.rand(1, *shape)
        image[:, 4:10, 4:10] += 3 * (i % 2)
        items.append({"image": MetaTensor(image), "label": i % 2, "subject": f"s{i}"})
    return CachedCohort(items, lambda item: item, Failures(folder), num_workers=1)


def network(reference=0, dims=2, classes=2):
    torch.manual_seed(3)
    return HRCAMNet(
        StageCNN(spatial_dims=dims, num_classes=classes, channels=(4, 6), convs=(1, 1)),
        classes,
        spatial_dims=dims,
        reference=reference,
    )


def run(handler, epochs=3):
    engine = Engine(lambda *_: None)
    handler.attach(engine)
    given = []
    engine.add_event_handler("EPOCH_COMPLETED", lambda _: given.append([i["seeds"].clone() for i in handler.dataset.items()]))
    engine.run([0], max_epochs=epochs)
    return given


@pytest.mark.parametrize(("dims", "axis"), [(2, 2), (3, None)], ids=["slices", "volumes"])
def test_seeds_lie_on_the_images_grid_and_the_reference_has_none(tmp_path, dims, axis):
    data, net = cohort(tmp_path, (24, 20, 8)), network(dims=dims)
    (seeds,) = run(SeedHandler(data, net, tmp_path, reference=0, flip_axes=[0], slice_axis=axis), epochs=1)
    for item, seed in zip(data.items(), seeds, strict=True):
        assert seed.shape == item["image"].shape
        assert float(seed.max()) == (1.0 if item["label"] else 0.0)
        assert float(seed.min()) >= 0


def test_of_classes_that_are_all_findings_each_image_has_seeds(tmp_path):
    data, net = cohort(tmp_path), network(reference=None)
    (seeds,) = run(SeedHandler(data, net, tmp_path, slice_axis=2), epochs=1)
    assert [float(s.max()) for s in seeds] == [1, 1, 1, 1]


def test_seeds_of_a_round_are_made_once_and_a_resumed_run_has_the_same(tmp_path):
    data, net = cohort(tmp_path), network()
    options = {"reference": 0, "flip_axes": [0, 1], "slice_axis": 2}
    first, second = run(SeedHandler(data, net, tmp_path, **options), epochs=2)
    assert all(map(torch.equal, first, second))
    with torch.no_grad():
        net.backbone.fc.weight.neg_()  # trained on
    handler, engine = SeedHandler(cohort(tmp_path), net, tmp_path, **options), Engine(lambda *_: None)
    handler.attach(engine)
    engine.load_state_dict({"epoch": 1, "max_epochs": 2, "epoch_length": 1})
    engine.run([0])
    assert all(torch.equal(item["seeds"], seed) for item, seed in zip(handler.dataset.items(), first, strict=True))
    (other,) = run(SeedHandler(cohort(tmp_path), net, tmp_path, **options), epochs=1)
    assert not all(map(torch.equal, other, first)), "a training from the start makes its own"


def test_each_further_round_begins_with_seeds_of_the_networks_own_maps(tmp_path):
    data, net = cohort(tmp_path), network(reference=None)
    options = {"reference": None, "slice_axis": 2, "power": 2.0, "rounds": 2}
    one, two, three, four = run(SeedHandler(data, net, tmp_path, **options), epochs=4)
    assert all(map(torch.equal, one, two))
    assert all(map(torch.equal, three, four))
    assert not any(map(torch.equal, two, three))
    items = data.items()
    images = torch.stack([item["image"][..., 0].as_tensor() for item in items])
    expected = own_maps(net, images, torch.tensor([item["label"] for item in items]), power=2.0)
    for item, image, seed, own in zip(items, images, four, expected, strict=True):
        own = along_edges(own[None], image[None])[0]
        assert torch.allclose(seed[..., 0].float(), own / own.max(), atol=1e-3), item["subject"]


def test_edges_are_those_of_the_slice_and_not_of_those_beside_it(tmp_path):
    data = cohort(tmp_path, (24, 20, 3))
    torch.manual_seed(3)
    net = HRCAMNet(StageCNN(in_channels=3, channels=(4, 6), convs=(1, 1)), 2, in_channels=3)
    (seeds,) = run(SeedHandler(data, net, tmp_path, slice_axis=2, neighbours=[-1, 1], power=2.0), epochs=1)
    image = data.items()[0]["image"].as_tensor()
    stack = torch.cat([image[..., 1], image[..., 0], image[..., 2]])[None]
    maps = mirrored_layer_cam(net.backbone, stack, torch.tensor([0]), locate_taps(net.backbone, (1, 3, 24, 20)), power=2.0)
    moved = along_edges(maps, stack[:, :1])[0]
    torch.testing.assert_close(seeds[0][..., 1].float() / seeds[0][..., 1].max(), moved / moved.max(), atol=2e-3, rtol=0)


def test_a_batch_brings_its_seeds_as_target():
    batch = {"image": torch.rand(2, 1, 4, 4), "label": torch.tensor([0, 1])}
    assert torch.equal(image_and_target(batch)[1], batch["label"])
    image, target = image_and_target(batch | {"seeds": torch.rand(2, 1, 4, 4)}, device="cpu")
    assert image.shape == (2, 1, 4, 4)
    assert set(target) == {"label", "seeds"}


def test_novelty_weighs_the_map_and_needs_images_of_one_shape(tmp_path):
    data, net = cohort(tmp_path), network()
    options = {"reference": 0, "slice_axis": 2}
    (plain,) = run(SeedHandler(data, net, tmp_path, **options), epochs=1)
    (weighted,) = run(SeedHandler(data, net, tmp_path, novelty_power=0.5, **options), epochs=1)
    assert not torch.equal(plain[1], weighted[1])
    assert [float(s.max()) for s in weighted] == [0, 1, 0, 1]
    items = data.items()
    items[0]["image"] = items[0]["image"][:, :-2]
    with pytest.raises(
        ValueError, match=r"seed_novelty and seed_agreement need images of one shape; they are \[\(22, 20\), \(24, 20\)\]"
    ):
        run(SeedHandler(data, net, tmp_path, novelty_power=0.5, **options), epochs=1)


def test_what_the_images_of_one_person_agree_on_counts_more(tmp_path):
    data, net = cohort(tmp_path), network(reference=None)
    for item in data.items():
        item["subject"], item["label"] = "one", 1
    options = {"reference": None, "slice_axis": 2}
    (alone,) = run(SeedHandler(data, net, tmp_path, **options), epochs=1)
    (agreed,) = run(SeedHandler(data, net, tmp_path, agreement_power=1.0, **options), epochs=1)
    assert not torch.equal(alone[1], agreed[1])
    assert [float(s.max()) for s in agreed] == [1, 1, 1, 1]
    for item, name in zip(data.items(), "abcd", strict=True):
        item["subject"] = name
    (lone,) = run(SeedHandler(data, net, tmp_path, agreement_power=1.0, **options), epochs=1)
    assert not torch.equal(lone[1], agreed[1]), "others' images tell nothing"

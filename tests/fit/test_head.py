from __future__ import annotations

import json

import pytest
import torch
from monai.networks.nets import DenseNet121, resnet18
from torch import nn

from hrcam_monai.fit.head import PENALTIES, STRIDE_POWERS, fit_head
from hrcam_monai.metrics.classification import roc_auc
from hrcam_monai.networks import HRCAMNet, StageCNN, pool_maps


def spots(count: int, size: tuple[int, ...] = (24, 24)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, in every second image with a bright spot: images, labels, and where the spot is."""
    draw = torch.Generator().manual_seed(1)
    images = torch.randn((count, 1, *size), generator=draw) * 0.3
    masks = torch.zeros(count, *size, dtype=torch.bool)
    for i in range(1, count, 2):
        corner = [int(torch.randint(2, n - 6, (1,), generator=draw)) for n in size]
        masks[(i, *(slice(c, c + 4) for c in corner))] = True
    images[:, 0][masks] += 1.5
    return images, torch.arange(count) % 2, masks


def batches(images, labels, step=8, **more):
    keys = {"image": images, "label": labels, **more}
    return [{k: v[i : i + step] for k, v in keys.items()} for i in range(0, len(labels), step)]


def small_net(**kwargs) -> HRCAMNet:
    torch.manual_seed(0)
    return HRCAMNet(StageCNN(channels=(4, 6, 8), convs=(1, 1, 1)), 2, **kwargs)


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """A small CNN that has learned to see spots, by its own classifier."""
    cnn = small_net().backbone
    images, labels, _ = spots(64)
    optimizer = torch.optim.AdamW(cnn.parameters(), lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(cnn(images), labels).backward()
        optimizer.step()
    return cnn.state_dict()


@pytest.fixture
def net(trained) -> HRCAMNet:
    made = small_net()
    made.backbone.load_state_dict(trained)
    return made


def test_the_head_classifies_and_marks_the_spot(net):
    images, labels, masks = spots(64)
    assert fit_head(net, batches(images, labels)) is net
    with torch.no_grad():
        logits, maps = net.eval().class_maps(images)
    assert roc_auc(labels.numpy(), logits.softmax(1).numpy()) > 0.95
    assert (logits.argmax(1) == labels).float().mean() > 0.9
    torch.testing.assert_close(pool_maps(maps, "gap"), logits, rtol=1e-4, atol=1e-4)
    heat = (maps[:, 1] - maps[:, 0])[1::2]
    hits = [bool(mask.flatten()[int(h.argmax())]) for h, mask in zip(heat, masks[1::2], strict=True)]
    assert sum(hits) / len(hits) > 0.8


def test_the_backbone_and_every_mode_stay_as_they_were(net):
    images, labels, _ = spots(40)
    net.train()
    net.backbone.stages[0].eval()
    net.backbone.stages[1].requires_grad_(False)
    state = {k: v.clone() for k, v in net.backbone.state_dict().items()}
    modes = [m.training for m in net.modules()]
    grads = [p.requires_grad for p in net.parameters()]
    weight = net.head.weight
    fit_head(net, batches(images, labels))
    assert all(torch.equal(v, state[k]) for k, v in net.backbone.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == grads
    assert net.head.weight is weight
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())


def test_dictionaries_pairs_and_a_second_run_give_the_same(trained):
    images, labels, _ = spots(40)
    heads = []
    for loader in (
        batches(images, labels),
        batches(images, labels),
        [(images[i : i + 8], labels[i : i + 8]) for i in range(0, 40, 8)],
    ):
        net = small_net()
        net.backbone.load_state_dict(trained)
        torch.manual_seed(len(heads))  # the result hangs on no global generator
        heads.append(fit_head(net, loader).head.state_dict())
    for other in heads[1:]:
        assert all(torch.equal(other[k], heads[0][k]) for k in other)


def test_report_tells_the_candidates_and_the_choice(net, tmp_path):
    images, labels, _ = spots(40)
    fit_head(net, batches(images, labels), report=tmp_path / "new" / "fit.json", tolerance=0.01)
    report = json.loads((tmp_path / "new" / "fit.json").read_text())
    rows, chosen = report["candidates"], report["head"]
    assert len(rows) == len(PENALTIES) * len(STRIDE_POWERS)
    assert chosen in rows
    close = [r for r in rows if r["auc"] >= max(r["auc"] for r in rows) - 0.01]
    assert chosen["deletion_drop"] == max(r["deletion_drop"] for r in close)
    assert all(r["deletion_drop"] is None for r in rows if r not in close)
    assert report["images"] == 40
    assert report["held_out"] == 8
    assert set(report["classifier"]) == {"auc", "accuracy"}
    assert sum(chosen["level_share"]) == pytest.approx(1)
    assert report["taps"] == ["level 0", "level 1", "level 2"]


def test_all_images_of_a_subject_are_held_out_or_none(net, tmp_path):
    images, labels, _ = spots(40)
    subjects = [f"sub-{i // 8}-{i % 2}" for i in range(40)]  # four images each
    fit_head(net, batches(images, labels, subject=subjects), cache=tmp_path / "c.pt")
    held = torch.load(tmp_path / "c.pt", weights_only=True)["held"]
    assert {s for s, h in zip(subjects, held, strict=True) if h}.isdisjoint(
        s for s, h in zip(subjects, held, strict=True) if not h
    )
    assert held.sum() == 8  # the second of five subjects, of each class


def test_the_cache_saves_the_pass_and_is_made_anew_for_another_network(net, tmp_path, caplog):
    images, labels, _ = spots(40)
    cache = tmp_path / "cache" / "pooled.pt"
    fit_head(net, batches(images, labels), cache=cache)
    first = {k: v.clone() for k, v in net.head.state_dict().items()}
    fit_head(net, [], cache=cache)
    with pytest.raises(ValueError, match="The loader is empty"):
        fit_head(net, [], cache=cache, data="other images")
    assert all(torch.equal(v, first[k]) for k, v in net.head.state_dict().items())
    assert [p.name for p in cache.parent.iterdir()] == ["pooled.pt"]
    with pytest.raises(ValueError, match="The loader is empty"):
        fit_head(small_net(), [], cache=cache)
    fit_head(small_net(), batches(images, labels), cache=cache)
    assert "is of another CNN, other images or other options; it is made anew" in caplog.text


def test_a_file_that_is_no_cache_is_not_written_over(net, tmp_path):
    images, labels, _ = spots(4)
    path = tmp_path / "c.pt"
    for write in (lambda: path.write_text("half a file"), lambda: torch.save(net.state_dict(), path)):
        write()
        before = path.read_bytes()
        with pytest.raises(ValueError, match="c.pt: not a cache of fit_head; name another file"):
            fit_head(net, [(images, labels)], cache=path)
        assert path.read_bytes() == before


def test_sizes_may_differ_between_batches(net):
    a, labels, _ = spots(16)
    b, _, _ = spots(16, (30, 26))
    fit_head(net, [*batches(a, labels), *batches(b, labels)])
    logits, maps = net.eval().class_maps(b)
    torch.testing.assert_close(pool_maps(maps, "gap"), logits, rtol=1e-4, atol=1e-4)


def test_three_classes():
    torch.manual_seed(0)
    net = HRCAMNet(StageCNN(channels=(4, 6), convs=(1, 1), num_classes=3), 3)
    labels = torch.arange(45) % 3
    images = torch.randn(45, 1, 16, 16) * 0.2
    images[labels == 1, :, 4:8, 4:8] += 2
    images[labels == 2, :, 4:8, 4:8] -= 2
    fit_head(net, batches(images, labels))
    with torch.no_grad():
        assert (net.eval()(images).argmax(1) == labels).float().mean() > 0.9


def test_densenet_2d_and_resnet_3d(tmp_path):
    flat = HRCAMNet(DenseNet121(2, 1, 2, init_features=8, growth_rate=4, block_config=(1, 1, 1, 1)), 2)
    deep = HRCAMNet(resnet18(spatial_dims=3, n_input_channels=1, num_classes=2, widen_factor=0.125), 2, spatial_dims=3)
    for net, size in ((flat, (32, 32)), (deep, (32, 32, 32))):
        images, labels, _ = spots(4, size)
        fit_head(net, [(images, labels)], report=tmp_path / "fit.json")
        with torch.no_grad():
            logits, maps = net.eval().class_maps(images)
        assert maps.shape == (4, 2, *size)
        torch.testing.assert_close(pool_maps(maps, "gap"), logits, rtol=1e-3, atol=1e-3)
        assert json.loads((tmp_path / "fit.json").read_text())["taps"] == net.taps


class Features(nn.Module):
    """A CNN with another output than K logits."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.classifier = classifier

    def forward(self, x):
        return self.classifier(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(("classifier", "judged"), [(nn.Linear(4, 1), True), (nn.Linear(4, 7), False), (nn.Identity(), False)])
def test_cnn_with_one_logit_or_without_a_classifier(classifier, judged, tmp_path):
    images, labels, _ = spots(40)
    fit_head(HRCAMNet(Features(classifier), 2), batches(images, labels), report=tmp_path / "fit.json")
    report = json.loads((tmp_path / "fit.json").read_text())
    assert (report["classifier"] is not None) == judged
    assert (report["head"]["deletion_drop"] is not None) == judged


def test_few_subjects_are_judged_on_what_is_fitted(net, caplog):
    images, labels, _ = spots(2)
    fit_head(net, [(images, labels)])
    assert "Too few subjects to hold some out" in caplog.text
    assert torch.isfinite(net.head.weight).all()


def test_errors_are_said_in_one_line(net):
    images, labels, _ = spots(8)
    bad = images.clone()
    bad[3, 0, 0, 0] = float("nan")
    cases = [
        ([], r"The loader is empty; give it images of every class\."),
        ([(images, labels * 0)], r"Class 1 has no image in the loader; give it images of every class\."),
        ([(images, labels), (bad, labels)], r"Images 8 to 15: some values are not finite; repair or leave out these images\."),
        ([(images[:2], torch.tensor([0, 2]))], r"Images 0 to 1: labels are \[0, 2\]; they must be 0 to 1\."),
        ([(images[:2], torch.tensor([0, -1]))], r"Images 0 to 1: labels are \[0, -1\]; they must be 0 to 1\."),
        ([(images[:2], torch.tensor([0, 0.5]))], r"Images 0 to 1: labels are \[0.0, 0.5\]; they must be 0 to 1\."),
        ([{"image": images}], r"A batch has the keys \['image'\]; fit_head needs 'image' and 'label'\."),
        ([(images[0], labels)], r"Images have shape \[1, 24, 24\]; the network takes \[B, C, \*spatial\] of 2 axes\."),
    ]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    for loader, message in cases:
        with pytest.raises(ValueError, match=f"^{message}$"):
            fit_head(net, loader)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.backbone.stages[0].conv0.conv.weight.data.fill_(float("inf"))
    with pytest.raises(ValueError, match=r"^The CNN's features are not finite; check its weights"):
        fit_head(net, [(images, labels)])
    lse = small_net(pooling="lse")
    with pytest.raises(ValueError, match=r"^pooling is 'lse'; fit_head needs 'gap'.* Train the network jointly for 'lse'\.$"):
        fit_head(lse, [(images, labels)])


def test_a_head_with_a_reference_class_gives_the_same_probabilities(trained):
    images, labels, _ = spots(64)
    free, bound = small_net(), small_net(reference=0)
    for made in (free, bound):
        made.backbone.load_state_dict(trained)
        fit_head(made, batches(images, labels))
    with torch.no_grad():
        torch.testing.assert_close(bound.eval()(images).softmax(1), free.eval()(images).softmax(1), atol=1e-4, rtol=1e-3)
        assert not bound.class_maps(images)[1][:, 0].any()

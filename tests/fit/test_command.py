from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, run
from monai.networks.nets import DenseNet121, resnet18
from typer.testing import CliRunner

from hrcam_monai.__main__ import app
from hrcam_monai.fit.command import changed_by_task
from hrcam_monai.networks import HRCAMNet, StageCNN
from tests.pictures import draw

STAGE = {
    "_target_": "hrcam_monai.networks.StageCNN",
    "spatial_dims": "@spatial_dims",
    "num_classes": "$len(@classes)",
    "channels": [3, 4],
    "convs": [1, 1],
}
DENSE = {
    "_target_": "monai.networks.nets.DenseNet121",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "init_features": 8,
    "growth_rate": 4,
    "block_config": [1, 1, 1, 1],
}
RESNET = {
    "_target_": "monai.networks.nets.resnet18",
    "spatial_dims": 3,
    "n_input_channels": 1,
    "num_classes": 2,
    "widen_factor": 0.0625,
}
# the bundle's train.json on coarse, small volumes
SMALL = {"spacing": [8.0, 8.0, 8.0], "roi_size": [32, 36, 24], "slices_per_subject": 2}


@pytest.fixture
def invoke(tmp_path, cohort, bundle_root):
    """Call the command on the small cohort."""
    (tmp_path / "small.json").write_text(json.dumps(SMALL))

    def call(snippet, cnn, *options, dataset: Path = cohort):
        (tmp_path / "cnn.json").write_text(json.dumps(snippet))
        if isinstance(cnn, torch.nn.Module):
            torch.save(cnn.state_dict(), tmp_path / "cnn.pt")
        given = ["--backbone", tmp_path / "cnn.json", "--checkpoint", tmp_path / "cnn.pt", "--dataset-dir", dataset]
        given += ["--output", tmp_path / "out", "--bundle-root", bundle_root, *options, "--overlay", tmp_path / "small.json"]
        return CliRunner().invoke(app, ["fit-head", *[str(g) for g in given]])

    return call


def infer(tmp_path: Path, cohort: Path, bundle_root: Path) -> list[dict[str, str]]:
    """Run inference.json with the overlay that the command wrote."""
    run(
        config_file=[str(bundle_root / "configs" / "inference.json"), str(tmp_path / "out" / "backbone.json")],
        bundle_root=str(bundle_root),
        dataset_dir=str(cohort),
        split="test",
        num_workers=0,
        output_dir=str(tmp_path / "maps"),
        checkpoint=str(tmp_path / "out" / "model.pt"),
    )
    with (tmp_path / "maps" / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_densenet_from_checkpoint_to_maps(invoke, tmp_path, cohort, bundle_root):
    torch.manual_seed(0)
    cnn = DenseNet121(2, 1, 2, init_features=8, growth_rate=4, block_config=(1, 1, 1, 1))
    result = invoke(DENSE, cnn)
    assert result.exit_code == 0, result.output
    state = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert all(torch.equal(state[f"backbone.{k}"], v) for k, v in cnn.state_dict().items())
    HRCAMNet(cnn, 2).load_state_dict(state)
    assert json.loads((tmp_path / "out" / "head_fit.json").read_text())["images"] == 8
    overlay = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert overlay["backbone"] == DENSE
    assert (overlay["pooling"], overlay["flip_axes"]) == ("gap", [0, 1])
    assert overlay["roi_size"] == SMALL["roi_size"]
    assert len(infer(tmp_path, cohort, bundle_root)) == 4


def test_resnet_in_3d(invoke, tmp_path, cohort, bundle_root):
    torch.manual_seed(0)
    cnn = resnet18(spatial_dims=3, n_input_channels=1, num_classes=2, widen_factor=0.0625)
    result = invoke(RESNET, cnn, "--overlay", "spatial_3d", "--taps", "layer1", "--taps", "layer2")
    assert result.exit_code == 0, result.output
    overlay = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert overlay["network_def::taps"] == ["layer1", "layer2"]
    assert (overlay["spatial_dims"], overlay["slice_axis"]) == (3, None)
    assert len(infer(tmp_path, cohort, bundle_root)) == 4


def test_same_call_gives_same_weights_also_from_the_cache(invoke, tmp_path):
    heads = []
    for options in ([], ["--cache", tmp_path / "c.pt"], ["--cache", tmp_path / "c.pt"]):
        assert invoke(STAGE, StageCNN(channels=(3, 4), convs=(1, 1)) if not heads else None, *options).exit_code == 0
        heads.append(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    for other in heads[1:]:
        assert all(torch.equal(v, heads[0][k]) for k, v in other.items())


def test_bias_is_calibrated_only_where_there_are_validation_volumes(invoke, tmp_path, cohort):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(cohort / "images", copy / "images")
    shutil.copytree(cohort / "masks", copy / "masks")
    manifest = json.loads((cohort / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"validation": []}))
    states = []
    for dataset in (cohort, copy):
        assert invoke(STAGE, StageCNN(channels=(3, 4), convs=(1, 1)) if not states else None, dataset=dataset).exit_code == 0
        states.append(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    assert torch.equal(states[0]["head.weight"], states[1]["head.weight"])
    assert not torch.equal(states[0]["head.bias"], states[1]["head.bias"])


def test_colour_pictures_of_a_table(invoke, tmp_path, bundle_root):
    """A folder of RGB files and a table, and a CNN of three channels: no one says how many there are."""
    (tmp_path / "files").mkdir()
    lines = ["file,patient,diagnosis,set"]
    for i in range(18):
        draw(tmp_path / "files" / f"{i}.png", i % 2, i, colour=True)
        lines.append(f"{i}.png,p{i},{('none', 'square')[i % 2]},{('training', 'training', 'validation')[i // 6]}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    made = ["prepare", tmp_path / "files", "--table", tmp_path / "table.csv", "--output", tmp_path / "study"]
    done = CliRunner().invoke(app, [*map(str, made), "--reference", "none"])
    assert done.exit_code == 0, done.output
    (tmp_path / "small.json").write_text(json.dumps({"roi_size": [32, 32, 1], "num_workers": 0}))
    snippet = DENSE | {"in_channels": 3}
    torch.manual_seed(0)
    network = DenseNet121(2, 3, 2, init_features=8, growth_rate=4, block_config=(1, 1, 1, 1))
    result = invoke(snippet, network, "--overlay", "pictures", dataset=tmp_path / "study")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert (told["in_channels"], told["classes"]) == (3, ["none", "square"])


def test_errors_are_said_in_one_line(invoke, tmp_path, cohort):
    cnn = StageCNN(channels=(3, 4), convs=(1, 1))

    def message(snippet, weights, *options, dataset=cohort):
        result = invoke(snippet, weights, *options, dataset=dataset)
        assert result.exit_code == 1
        line = result.output.strip().splitlines()[-1]
        assert line.startswith("error: ")
        assert "Traceback" not in result.output
        return line

    assert "cnn.pt: no such weights file; train first, or give the path of one." in message(STAGE, None)
    assert "cnn.pt: weights of another network (" in message(STAGE, StageCNN(channels=(5, 4), convs=(1, 1)))
    assert "names no network; write {" in message({"out_channels": 2}, cnn)
    assert "no_such: no such config; give --bundle-root, or the name" in message(STAGE, cnn, "--overlay", "no_such")
    assert "no such manifest" in message(STAGE, cnn, dataset=tmp_path / "nowhere")
    assert "Tap 'fc' puts out no 2-D feature map" in message(STAGE, cnn, "--taps", "fc")
    (tmp_path / "cnn.pt").write_text("no weights")
    assert "cnn.pt: not a whole file of weights; write it by torch.save(net.state_dict(), path)." in message(STAGE, None)
    torch.save({"epoch": 3}, tmp_path / "cnn.pt")
    assert "cnn.pt: holds no state dict; write it by" in message(STAGE, None)


def test_what_a_task_changes_is_passed_on(bundle_root):
    configs = bundle_root / "configs"
    plain = ConfigParser.load_config_files([str(configs / "train.json")])
    assert changed_by_task(plain, bundle_root) == {}
    task = json.loads((configs / "tasks" / "parkinson_nm.json").read_text())
    changed = changed_by_task(plain | task, bundle_root)
    assert changed == {"crop": task["crop"], "normalization": task["normalization"]}
    assert changed_by_task(plain | {"first_is_finding": True}, bundle_root) == {"first_is_finding": True}

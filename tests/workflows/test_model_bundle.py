"""The bundle of one model: what ran under overlays runs without any, and gives the same."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import pytest

from hrcam_monai.utils.files import file_hash
from hrcam_monai.workflows.model_bundle import described
from hrcam_monai.workflows.model_folder import run_model
from hrcam_monai.workflows.model_settings import ModelSettingsError
from hrcam_monai.workflows.package import build_package, verify_package
from tests.conftest import ROOT

SLICES = ROOT / "examples" / "brain_tumours"


@pytest.fixture(scope="module")
def tumours(tmp_path_factory, bundle_root):
    """The bundle of the tumour model, unpacked."""
    output = tmp_path_factory.mktemp("shared")
    path = build_package(output, bundle_root, model=bundle_root / "models" / "brain_tumor_t1ce", name="brain_tumor_hrcam")
    assert path == output / "brain_tumor_hrcam.zip"
    assert verify_package(path) == verify_package(path.with_suffix("")) > 50
    return path.with_suffix("")


def test_it_holds_one_model_and_no_overlay_that_makes_another(tumours, bundle_root):
    configs = {p.name for p in (tumours / "configs").iterdir()}
    assert {"train.json", "evaluate.json", "inference.json", "export.json", "metadata.json"} <= configs
    assert not {"tasks", "pictures.json", "imagenet.json", "two_stage.json", "spatial_3d.json"} & configs
    assert {p.name for p in (tumours / "models").iterdir()} == {"model.pt", "network.json", "inputs.pt"}
    assert file_hash(tumours / "models" / "model.pt") == file_hash(bundle_root / "models" / "brain_tumor_t1ce" / "model.pt")


def test_its_workflows_hold_what_they_use(tumours):
    inference, train = (json.loads((tumours / "configs" / f"{name}.json").read_text()) for name in ("inference", "train"))
    assert inference["bundle_root"] == train["bundle_root"] == "."
    assert inference["checkpoint"] == "$@bundle_root + '/models/model.pt'"
    assert not {"augmentation", "base_epochs", "rotation", "_meta_"} & set(inference)
    assert {"augmentation", "base_epochs", "rotation", "translation"} <= set(train)
    assert "map_threshold" not in train
    assert (inference["map_scale"], inference["map_threshold"]) == ("probability", 0.35)


def test_it_tells_of_this_model(tumours):
    metadata = json.loads((tumours / "configs" / "metadata.json").read_text())
    assert metadata["name"] == "Brain tumour HR-CAM"
    assert metadata["label_classes"] == "0 meningioma, 1 glioma, 2 pituitary"
    data = metadata["network_data_format"]
    assert data["inputs"]["image"]["spatial_shape"] == [128, 128]
    assert data["outputs"]["pred"]["num_channels"] == 3
    # the values of a label map
    assert data["outputs"]["pred"]["channel_def"] == {"1": "meningioma", "2": "glioma", "3": "pituitary"}
    assert "meningioma, glioma and pituitary" in (tumours / "docs" / "README.md").read_text()
    assert "CC BY 4.0" in (tumours / "docs" / "data_license.txt").read_text()
    assert "simulated" not in (tumours / "docs" / "data_license.txt").read_text()


@pytest.mark.slow
def test_it_gives_what_the_model_folder_gives(tumours, bundle_root, tmp_path):
    run_model("inference", bundle_root / "models" / "brain_tumor_t1ce", SLICES, tmp_path / "folder", settings={"num_workers": 0})
    line = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--bundle_root", str(tumours), "--num_workers", "0"]
    line += ["--config_file", str(tumours / "configs" / "inference.json")]
    line += ["--dataset_dir", str(SLICES), "--output_dir", str(tmp_path / "package")]
    subprocess.run(line, check=True, cwd=tmp_path, capture_output=True)
    first, second = (list(csv.DictReader((tmp_path / n / "predictions.csv").open())) for n in ("folder", "package"))
    assert len(first) == len(second) == 12
    for one, other in zip(first, second, strict=True):  # threads differ, and with them the last digits
        numbers = [key for key in one if key.startswith(("logit_", "probability_"))]
        assert [float(one[key]) for key in numbers] == pytest.approx([float(other[key]) for key in numbers], abs=1e-4)
        assert {k: v for k, v in one.items() if k not in numbers} == {k: v for k, v in other.items() if k not in numbers}


def test_a_model_of_somebody_s_own_says_what_is_not_told(tumours, bundle_root, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for name in ("model.pt", "network.json"):
        shutil.copy(bundle_root / "models" / name, own / f"mine_{name}" if name == "network.json" else own / "mine.pt")
    folder = build_package(tmp_path, bundle_root, model=own / "mine.pt", name="mine").with_suffix("")
    assert {p.name for p in (folder / "models").iterdir()} == {"model.pt", "network.json"}
    assert (folder / "docs" / "README.md").read_text().startswith("# mine\nA network that tells normal, abnormal apart")
    assert "not told here yet" in (folder / "docs" / "data_license.txt").read_text()
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [88, 104]
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "normal", "1": "abnormal"}


def test_overlays_may_be_named(tumours, bundle_root, tmp_path):
    model, overlays = bundle_root / "models" / "brain_tumor_t1ce", ["pictures", "tasks/brain_tumor_t1ce"]
    named = build_package(tmp_path, bundle_root, model=model, overlays=overlays, name="brain_tumor_hrcam")
    assert named.read_bytes() == tumours.with_suffix(".zip").read_bytes()


def test_weights_without_a_record_and_names_that_are_no_folder_s(bundle_root, tmp_path):
    shutil.copy(bundle_root / "models" / "model.pt", tmp_path / "bare.pt")
    with pytest.raises(ModelSettingsError, match=r"bare\.pt: has no record of its training beside it"):
        build_package(tmp_path / "out", bundle_root, model=tmp_path / "bare.pt")
    assert not (tmp_path / "out" / "brain_mri_hrcam").exists()
    with pytest.raises(ModelSettingsError, match=r"bare\.pt: has no record .* so its classes are not known; train again\.$"):
        build_package(tmp_path / "out", bundle_root, model=tmp_path / "bare.pt", overlays=[])
    assert not any((tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match=r"'\.\./x': no name for a bundle; use letters, digits, _ and -\."):
        build_package(tmp_path / "out", bundle_root, name="../x")


@pytest.mark.parametrize(
    ("channels", "neighbours", "named"),
    [
        (1, [], ["image"]),
        (1, [-2, 2], ["image", "image, slice -2", "image, slice +2"]),
        (2, [1], ["image, channel 0", "image, channel 1", "image, channel 0, slice +1", "image, channel 1, slice +1"]),
    ],
)
def test_every_channel_that_the_network_sees_is_named(tmp_path, bundle_root, channels, neighbours, named):
    record = json.loads((bundle_root / "models" / "network.json").read_text())
    record["settings"] |= {"in_channels": channels, "neighbours": neighbours}
    (tmp_path / "network.json").write_text(json.dumps(record))
    metadata = json.loads((bundle_root / "configs" / "metadata.json").read_text())
    image = described(metadata, tmp_path / "model.pt", first_is_finding=False)["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == len(named)
    assert list(image["channel_def"].values()) == named

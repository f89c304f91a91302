"""The package is used where hrcam-monai is not installed: by a Python of its own that sees the other packages only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hrcam_monai
from hrcam_monai.__main__ import app
from hrcam_monai.utils.files import OutputError
from hrcam_monai.workflows.package import NAME, _zipped, build_package, verify_package
from tests.conftest import ROOT


def environment(path=""):
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(path)}


def python(executable, *arguments, cwd, path=""):
    command = [executable, "-W", "ignore", *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment(path), timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory, bundle_root):
    return build_package(tmp_path_factory.mktemp("package"), bundle_root)


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """A virtual environment with all that is installed here but hrcam-monai (an editable install is not followed)."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    executable = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = python(executable, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip()
    (Path(packages) / "others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    test = [executable, "-c", "import monai, hrcam_monai"]
    found = subprocess.run(test, cwd=folder, capture_output=True, text=True, env=environment())
    if "No module named 'hrcam_monai'" not in found.stderr:
        pytest.skip("hrcam-monai is installed as a copy here; install it with -e")
    return executable


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder / NAME


def test_checksums_hold_and_nothing_is_missing(unpacked):
    lines = [line.split("  ") for line in (unpacked / "SHA256SUMS").read_text().splitlines()]
    listed = {name for _, name in lines}
    there = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    assert there == listed | {"SHA256SUMS"}
    assert all(hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest for digest, name in lines)
    assert {"LICENSE", "configs/inference.json", "models/model.pt", "docs/README.md", "hrcam_monai/__init__.py"} <= listed
    assert not any("__pycache__" in name for name in there)


def test_verify_tells_what_is_not_whole(package, unpacked, tmp_path):
    assert verify_package(package) == verify_package(unpacked) > 50
    hurt = tmp_path / "hurt.zip"

    def told(damaged):
        result = CliRunner().invoke(app, ["verify", str(damaged)])
        assert result.exit_code == 1
        return result.output.strip()

    content = package.read_bytes()
    hurt.write_bytes(content[: len(content) // 2])
    assert told(hurt) == f"error: {hurt}: no whole package; fetch it again."
    assert told(tmp_path / "gone.zip").endswith("no whole package; fetch it again.")
    spot = zipfile.ZipFile(package).getinfo(f"{NAME}/models/model.pt").header_offset + 5000
    hurt.write_bytes(content[:spot] + bytes([content[spot] ^ 255]) + content[spot + 1 :])
    assert told(hurt) == f"error: {hurt}: models/model.pt is missing or altered; fetch the package again."
    folder = shutil.copytree(unpacked, tmp_path / NAME)
    (folder / "configs" / "train.json").unlink()
    assert told(folder) == f"error: {folder}: configs/train.json is missing or altered; fetch the package again."


def test_metadata_asks_for_what_does_not_travel_along(unpacked):
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    assert "hrcam-monai" not in metadata["required_packages_version"]
    assert metadata["version"] == hrcam_monai.__version__


def test_same_content_same_bytes_and_an_old_package_is_replaced(package, bundle_root):
    before = package.read_bytes()
    assert build_package(package.parent, bundle_root).read_bytes() == before


def test_runs_unpacked_anywhere_from_any_folder(clean_python, unpacked, cohort, tmp_path):
    options = ["--config_file", unpacked / "configs" / "inference.json", "--bundle_root", unpacked]
    options += ["--dataset_dir", cohort, "--split", "test", "--output_dir", tmp_path / "out", "--num_workers", "0"]
    python(clean_python, "-m", "monai.bundle", "run", *options, cwd=tmp_path)
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 5
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_wheel_runs_the_bundle(clean_python, bundle_root, cohort, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "hrcam_monai", source / "hrcam_monai", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = ["-m", "pip", "--disable-pip-version-check"]
    python(sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source, cwd=tmp_path)
    wheel = next(tmp_path.glob("hrcam_monai-*.whl"))
    python(sys.executable, *pip, "install", "--no-deps", "--target", tmp_path / "site", wheel, cwd=tmp_path)
    options = ["--config_file", bundle_root / "configs" / "inference.json", "--bundle_root", bundle_root, "--num_workers", "0"]
    options += ["--dataset_dir", cohort, "--split", "test", "--output_dir", tmp_path / "out"]
    python(clean_python, "-m", "monai.bundle", "run", *options, cwd=tmp_path, path=tmp_path / "site")
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 5


def test_downloads_from_a_file_and_makes_a_workflow(clean_python, package, tmp_path):
    code = f"""
from monai.bundle import create_workflow, download
download(name={NAME!r}, bundle_dir={str(tmp_path)!r}, source="monaihosting", url="file://{package}", progress=False)
for kind in ("inference", "train"):
    root = {str(tmp_path / NAME)!r}
    workflow = create_workflow(config_file=f"{{root}}/configs/{{kind}}.json", workflow_type=kind[:5], bundle_root=root)
    print(type(workflow).__name__, workflow.network_def.__class__.__name__)
"""
    assert python(clean_python, "-c", code, cwd=tmp_path).count("ConfigWorkflow HRCAMNet") == 2


def test_loads_as_a_network_when_its_folder_is_on_the_path(clean_python, unpacked, tmp_path):
    code = f"""
import sys, torch
sys.path.insert(0, {str(unpacked)!r})
from monai.bundle import load
net = load({NAME!r}, bundle_dir={str(unpacked.parent)!r}, source="monaihosting").eval()
print([list(t.shape) for t in net.class_maps(torch.rand(1, 1, 88, 104))])
"""
    assert "[[1, 2], [1, 2, 88, 104]]" in python(clean_python, "-c", code, cwd=tmp_path)


def test_the_command(tmp_path, bundle_root):
    result = CliRunner().invoke(app, ["package", "--output", str(tmp_path / "a" / "b"), "--bundle-root", str(bundle_root)])
    assert result.exit_code == 0, result.output
    assert f"zip: {tmp_path / 'a' / 'b' / NAME}.zip (" in result.output


def test_what_cannot_be_packed(tmp_path, bundle_root):
    with pytest.raises(FileNotFoundError, match=r"nowhere/configs: not there; give the folder of the bundle"):
        build_package(tmp_path, "nowhere")
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "thesis.doc").write_text("years of work")
    with pytest.raises(FileExistsError, match="no package of ours; choose another output folder"):
        build_package(tmp_path, bundle_root)
    assert (tmp_path / NAME / "thesis.doc").is_file()
    old = shutil.copytree(bundle_root, tmp_path / "bundle")
    metadata = json.loads((old / "configs" / "metadata.json").read_text())
    (old / "configs" / "metadata.json").write_text(json.dumps(metadata | {"version": "0.0.9"}))
    with pytest.raises(
        ValueError, match=f"version and changelog must hold {hrcam_monai.__version__}, the version of hrcam_monai"
    ):
        build_package(tmp_path / "new", old)


def test_on_a_full_disk_the_package_of_before_stays_and_nothing_else(tmp_path, bundle_root, no_room):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "SHA256SUMS").write_text("of before")
    (tmp_path / f"{NAME}.zip").write_bytes(b"of before")
    with no_room(20_000), pytest.raises(OutputError) as error:
        build_package(tmp_path, bundle_root)
    assert str(error.value) == f"{tmp_path / NAME}: could not be written (File too large); make room there, then run again."
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")} == {NAME, f"{NAME}/SHA256SUMS", f"{NAME}.zip"}
    (tmp_path / "big").mkdir()
    for i in range(5):
        (tmp_path / "big" / f"{i}").write_bytes(os.urandom(15_000))
    with no_room(20_000), pytest.raises(OutputError, match=r"\.zip: could not be written \(File too large\)"):
        _zipped(tmp_path / "big")
    assert not list(tmp_path.glob("*big.zip"))


def test_no_module_of_ours_is_named_in_an_import_of_the_configs(bundle_root):
    """MONAI runs those before the folder is on the path; `_target_` is looked up after."""
    for path in (bundle_root / "configs").glob("*.json"):
        assert not [line for line in json.loads(path.read_text()).get("imports", []) if "hrcam" in line], path

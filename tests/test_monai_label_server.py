"""The packaged bundle on the real MONAI Label server, offline: `make monailabel` installs it (8 GB) and runs this.

Skipped where HRCAM_MONAILABEL names no virtual environment that holds MONAI Label.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hrcam_monai import explain
from hrcam_monai.workflows.package import NAME, build_package
from tests.conftest import ROOT

ENVIRONMENT = Path(os.environ.get("HRCAM_MONAILABEL", "no/such/folder")).absolute()
SLICE = ROOT / "examples" / "brain_tumours" / "images" / "0234.png"
pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "monailabel").is_file(), reason="no MONAI Label; make monailabel installs it and runs this"
)


class Server:
    """MONAI Label with one bundle, packed into `folder`, and one folder of studies."""

    def __init__(self, folder: Path, studies: Path, bundle_root: Path, *, model: Path | None = None, name: str = NAME) -> None:
        build_package(folder / "package", bundle_root, model=model, name=name)
        shutil.copytree(ENVIRONMENT / "monailabel" / "sample-apps" / "monaibundle", folder / "app")
        shutil.copytree(folder / "package" / name, folder / "app" / "model" / name)
        self.name = name
        self.log = folder / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        line = [ENVIRONMENT / "bin" / "monailabel", "start_server", "--app", folder / "app", "--studies", studies]
        line += ["--host", "127.0.0.1", "--port", port]
        for key, value in {"models": name, "zoo_source": "local", "sam2": "false", "skip_trainers": "false"}.items():
            line += ["--conf", key, value]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        environment |= {
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{environment['PATH']}",
            "MONAILABEL_PYEXE": str(ENVIRONMENT / "bin" / "python"),
            "HOME": str(folder),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in line], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        for _ in range(600):
            try:
                self.info = json.loads(self.request("/info/"))
                return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                time.sleep(1)
        self.stop()
        raise TimeoutError(self.log.read_text()[-3000:])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def request(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.base + path, body, {"Content-Type": kind}), timeout=600) as answer:
            return bytes(answer.read())

    def infer(self, image: str, output: str, **params: object) -> bytes:
        part = f'--b\r\nContent-Disposition: form-data; name="params"\r\n\r\n{json.dumps(params)}\r\n--b--\r\n'
        query = urllib.parse.urlencode({"image": image, "output": output})
        return self.request(f"/infer/{self.name}?{query}", part.encode(), "multipart/form-data; boundary=b")

    def image(self, name: str, to: Path, **params: object) -> nib.Nifti1Image:
        to.write_bytes(self.infer(name, "image", **params))
        return nib.load(to)


@pytest.fixture(scope="module")
def studies(cohort, tmp_path_factory):
    """Three heads, the last one oblique; a lesion mask for each as its final label."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "labels" / "final").mkdir(parents=True)
    for i, entry in enumerate(json.loads((cohort / "manifest.json").read_text())["test"][1:4]):
        for key, place in (("image", folder), ("mask", folder / "labels" / "final")):
            volume = nib.load(cohort / entry[key])
            affine = volume.affine
            if i == 2:
                affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.2, 0.15)) @ affine
            nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), affine), place / f"head{i}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def server(studies, bundle_root, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("label"), studies, bundle_root)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tumours(bundle_root, tmp_path_factory):
    """The tumour model, and one slice as a picture and as NIfTI of one slice."""
    studies = tmp_path_factory.mktemp("slices")
    shutil.copy(SLICE, studies / "picture.png")
    pixels = np.asarray(Image.open(SLICE)).T[..., None].astype(np.float32)
    nib.save(nib.Nifti1Image(pixels, np.diag([0.5, -0.5, 5, 1])), studies / "slice.nii.gz")
    model = bundle_root / "models" / "brain_tumor_t1ce"
    running = Server(tmp_path_factory.mktemp("label"), studies, bundle_root, model=model, name="brain_tumor_hrcam")
    yield running
    running.stop()


def test_a_slice_of_one_model_by_itself(tumours, bundle_root, tmp_path):
    assert tumours.info["models"]["brain_tumor_hrcam"]["labels"] == {"meningioma": 1, "glioma": 2, "pituitary": 3}
    known = explain(bundle_root / "models" / "brain_tumor_t1ce", SLICE)
    expected = known.maps[int(known.probabilities.argmax())].numpy()  # [columns, rows, 1]
    volume = tumours.image("slice", tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.affine, np.diag([0.5, -0.5, 5, 1]), atol=1e-4)
    np.testing.assert_allclose(np.asarray(volume.dataobj), expected, atol=1e-2)
    (tmp_path / "a.tif").write_bytes(tumours.infer("picture", "image"))
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "a.tif")).T[..., None], expected, atol=1e-2)
    (tmp_path / "a.png").write_bytes(tumours.infer("picture", "image", result_dtype="uint8"))
    marked = np.asarray(Image.open(tmp_path / "a.png")).T
    assert set(np.unique(marked)) == {0, 1 + int(known.probabilities.argmax())}
    assert marked[np.unravel_index(expected[..., 0].argmax(), marked.shape)] > 0
    answer = json.loads(tumours.infer("picture", "json"))
    scores = [x["score"] for x in answer.get("params", answer)["prediction"]]
    np.testing.assert_allclose(scores, known.probabilities.numpy(), atol=1e-3)
    assert answer.get("params", answer)["input_check"] == known.input_check == "as trained"


def test_info_lists_the_model_its_labels_and_options(server):
    model = server.info["models"][NAME]
    assert set(model["labels"]) == {"normal", "abnormal"}
    assert model["config"]["map_class"] == ["abnormal", "predicted", "normal"]
    assert model["config"]["map_threshold"] == 0.5


@pytest.mark.parametrize("name", ["head0", "head2"])
def test_map_lies_in_the_scan_s_own_grid(server, studies, tmp_path, name):
    heat, scan = server.image(name, tmp_path / "a.nii.gz", map_class="abnormal"), nib.load(studies / f"{name}.nii.gz")
    assert heat.shape == scan.shape
    np.testing.assert_allclose(heat.affine, scan.affine, atol=1e-3)
    values = np.asarray(heat.dataobj)
    assert values.dtype.kind == "f"
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 100


def test_clients_that_ask_for_integers_get_a_label_map(server, tmp_path):
    label = server.image("head0", tmp_path / "a.nii.gz", map_class="abnormal", result_dtype="uint8", result_extension=".nii.gz")
    wide = server.image(
        "head0", tmp_path / "b.nii.gz", map_class="abnormal", map_threshold=0.1, result_dtype="uint8", result_extension=".nii.gz"
    )
    assert set(np.unique(np.asarray(label.dataobj))) == {0, 1}
    assert np.asarray(wide.dataobj).sum() > np.asarray(label.dataobj).sum()


def test_probabilities_in_the_json(server):
    answer = json.loads(server.infer("head0", "json", map_class="normal"))
    answer = answer.get("params", answer)
    assert [x["label"] for x in answer["prediction"]] == ["normal", "abnormal"]
    assert sum(x["score"] for x in answer["prediction"]) == pytest.approx(1)
    assert answer["predicted_class"] in ("normal", "abnormal")
    assert answer["map_class"] == "normal"


def test_training_changes_what_is_served(server, tmp_path):
    """Last: it replaces the weights."""
    before = np.asarray(server.image("head0", tmp_path / "a.nii.gz", map_class="abnormal").dataobj)
    options = {"max_epochs": 1, "device": "cpu", "multi_gpu": False, "val_split": 0.34}
    server.request(f"/train/{NAME}", json.dumps(options).encode())
    for _ in range(300):
        time.sleep(2)
        status = json.loads(server.request("/train/"))
        if status.get("status") != "RUNNING":
            break
    assert status["status"] == "DONE", server.log.read_text()[-5000:]
    after = np.asarray(server.image("head0", tmp_path / "b.nii.gz", map_class="abnormal").dataobj)
    assert not np.allclose(before, after)

from __future__ import annotations

import threading
from concurrent.futures import Future

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged
from PIL import Image

from hrcam_monai.data import Failures
from hrcam_monai.handlers.predictions import BEHIND, PredictionWriter
from hrcam_monai.transforms.saving import SaveBehindd, written_map
from hrcam_monai.utils.csv_files import read_csv
from hrcam_monai.utils.files import OutputError
from hrcam_monai.workflows.configs import bundle_parser
from tests.bundle.runs import CONFIGS
from tests.subjects import CLASSES, engine_with, row

OPTIONS = {"output_postfix": "map", "separate_folder": False, "resample": False, "print_log": False}


def item(name):
    affine = torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    return {"subject": name, "map": MetaTensor(torch.rand(1, 4, 5, 6), affine=affine, meta={"filename_or_obj": f"{name}.nii.gz"})}


def test_writes_what_monai_writes_in_another_thread(tmp_path):
    one = item("a")
    SaveImaged("map", output_dir=tmp_path / "theirs", **OPTIONS)(one)
    out = SaveBehindd("map", output_dir=tmp_path / "ours", **OPTIONS)(one)
    [future] = out["written"]
    assert future.result() == tmp_path / "ours" / "a_map.nii.gz"
    assert out["map"] is one["map"]
    theirs, ours = (nib.load(tmp_path / name / "a_map.nii.gz") for name in ("theirs", "ours"))
    assert (theirs.get_fdata() == ours.get_fdata()).all()
    assert (theirs.affine == ours.affine).all()


def test_a_server_of_monai_label_finds_no_saver_that_it_would_leave_in():
    parser = bundle_parser(CONFIGS.parent, workflow="inference")
    names = [step["_target_"] for step in parser["postprocessing::transforms"]]
    assert sum("SaveBehindd" in name for name in names) == 4
    assert issubclass(SaveBehindd, SaveImaged)  # which the server takes out


def test_the_next_subject_does_not_wait(tmp_path, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr("hrcam_monai.transforms.saving.write_volume", lambda *_: free.wait(10))
    saver = SaveBehindd("map", output_dir=tmp_path)
    first, second = saver(item("a")), saver(saver(item("b")))
    assert [len(out["written"]) for out in (first, second)] == [1, 2]
    assert not any(future.done() for out in (first, second) for future in out["written"])
    free.set()
    assert all(future.result(10) for out in (first, second) for future in out["written"])


def test_what_was_made_of_a_picture_becomes_one(tmp_path):
    one = item("a") | {"file": "somewhere/a.PNG", "subject": "a"}
    one["map"] = one["map"][..., :1]
    one["label_map"] = MetaTensor(torch.ones(1, 4, 5, 1), meta=dict(one["map"].meta))
    options = {k: v for k, v in OPTIONS.items() if k != "output_postfix"} | {"output_dir": tmp_path / "maps"}
    assert written_map(tmp_path, "a").name == "a_map.nii.gz"
    one = SaveBehindd("label_map", output_postfix="label", output_dtype=torch.uint8, **options)(
        SaveBehindd("map", **options)(one)
    )
    assert [future.result().name for future in one["written"]] == ["a_map.tif", "a_label.png"]
    heat, label = (Image.open(written_map(tmp_path, "a", kind)) for kind in ("map", "label"))
    assert (heat.mode, label.mode, heat.size, label.size) == ("F", "L", (4, 5), (4, 5))
    assert (one["map"][0, ..., 0].numpy() == np.asarray(heat).T).all()


def test_maps_of_every_class_are_volumes_of_one_file_and_none_of_a_picture(tmp_path):
    one = item("a")
    one["class_maps"] = MetaTensor(torch.rand(3, 4, 5, 6), affine=one["map"].affine)
    saver = SaveBehindd("class_maps", output_dir=tmp_path, output_postfix="classes")
    [future] = saver(one)["written"]
    image = nib.load(future.result())
    assert future.result().name == "a_classes.nii.gz"
    assert (np.moveaxis(np.asarray(image.dataobj), -1, 0) == one["class_maps"].numpy()).all()
    assert (image.affine == one["map"].affine.numpy()).all()
    assert "written" not in saver(one | {"file": "a.png"})


def written(error=None):
    future = Future()
    future.set_exception(error) if error else future.set_result({})
    return [future]


def test_a_subject_has_its_line_when_its_maps_are_written(tmp_path):
    writer, engine, open_futures = PredictionWriter(tmp_path, CLASSES), engine_with(), [[Future()] for _ in range(4)]
    engine.failures = Failures(tmp_path)
    writer.attach(engine)
    lines = []

    def release(engine):
        lines.append(len(writer.rows))
        if engine.state.iteration > BEHIND - 1:  # the writer waits for the oldest in the next iteration
            open_futures[engine.state.iteration - BEHIND][0].set_result({})

    engine.add_event_handler("ITERATION_COMPLETED", release)
    engine.add_event_handler("EPOCH_COMPLETED", lambda _: [f[0].done() or f[0].set_result({}) for f in open_futures])
    engine.run([row(name, 0.5) | {"written": f} for name, f in zip("abcd", open_futures, strict=True)])
    assert lines == [0, 0, 1, 2]
    assert [r["subject"] for r in read_csv(tmp_path / "predictions.csv")] == list("abcd")


def test_a_map_that_cannot_be_written_costs_its_subject_alone(tmp_path):
    writer, engine = PredictionWriter(tmp_path, CLASSES), engine_with()
    engine.failures = Failures(tmp_path)
    writer.attach(engine)
    engine.run([row("a", 0.5) | {"written": written()}, row("b", 0.5) | {"written": written(ValueError("of odd shape"))}])
    assert [r["subject"] for r in read_csv(tmp_path / "predictions.csv")] == ["a"]
    assert [(f.subject, f.error) for f in engine.failures.found] == [("b", "of odd shape")]
    with pytest.raises(OutputError):
        engine.run([row("c", 0.5) | {"written": written(OutputError("disk full"))}])


@pytest.mark.parametrize("picture", [False, True])
def test_on_a_full_disk_no_map_is_torn(tmp_path, no_room, picture):
    one = {"map": MetaTensor(torch.rand(1, 30, 30, 1), meta={"filename_or_obj": "a.nii.gz"}), "subject": "a"}
    one["file"] = "a.png" if picture else "a.nii.gz"
    saver = SaveBehindd("map", output_dir=tmp_path, **OPTIONS)
    with no_room(1000):
        [future] = saver(one)["written"]
        error = future.exception()
    assert isinstance(error, OutputError)
    assert str(error).startswith(f"{tmp_path}/a_map.{'tif' if picture else 'nii.gz'}: could not be written (File too large)")
    assert not list(tmp_path.iterdir())


def test_maps_of_another_image_of_that_name_do_not_stay(tmp_path):
    """A picture and a scan of one name, one after the other into the same folder."""
    scan = item("a")
    picture = {"subject": "a", "file": "a.png", "map": MetaTensor(torch.rand(1, 4, 5, 1))}
    saver = SaveBehindd("map", output_dir=tmp_path / "maps")
    for one, suffix in ((picture, ".tif"), (scan, ".nii.gz"), (picture, ".tif")):
        [future] = saver(one)["written"]
        assert future.result() == written_map(tmp_path, "a")
        assert [f.name for f in (tmp_path / "maps").iterdir()] == [f"a_map{suffix}"]

"""The page in a browser: what stands on its canvas."""

from __future__ import annotations

import gzip
import io
import shutil
from base64 import b64decode

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hrcam_monai.report import viewer, write_report
from tests.report.test_page import report_folder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SOFTWARE = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL 2 without a GPU


def test_an_image_keeps_its_place_and_its_values_in_256_steps():
    values = np.random.default_rng(0).uniform(-3, 5, (5, 6, 7))
    affine = nib.affines.from_matvec(np.diag([1.5, 2, 4]), [-3, 4, 5])
    image = nib.Nifti1Image.from_bytes(gzip.decompress(b64decode(viewer.nifti(values, affine, -3.0, 5.0))))
    assert np.allclose(image.affine, affine)
    assert np.abs(image.get_fdata() - values).max() <= 8 / 255 / 2 + 1e-6
    assert viewer.nifti(values, affine, -3.0, 5.0) == viewer.nifti(values, affine, -3.0, 5.0)


def test_niivue_comes_with_its_licence():
    module, licence = viewer.niivue_module()
    assert "BSD" in licence
    assert all(name in module.rpartition("export{")[2] for name in viewer.EXPORTS)


def test_without_niivue_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(viewer, "PACKAGE", "no_such_package")
    with pytest.raises(
        ModuleNotFoundError, match=r"no_such_package is not installed, which brings the report's viewer; pip inst"
    ):
        viewer.niivue_module()
    monkeypatch.undo()
    monkeypatch.setattr(viewer, "EXPORTS", ("Niivue", "Nonesuch"))
    with pytest.raises(ValueError, match=r"ipyniivue \S+: holds no NiiVue with Nonesuch; pip install 'ipyniivue=="):
        viewer.niivue_module()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = report_folder(tmp_path_factory.mktemp("report"))
    write_report(made, source=made)
    return made


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium; apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)


@pytest.fixture
def page(browser, folder):
    """The report, opened from disk, once its first subject is drawn; no error may show, and nothing come from a network."""
    opened, errors, asked = browser.new_page(viewport={"width": 1300, "height": 900}), [], []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url.split(":")[0]))
    opened.goto((folder / "report.html").as_uri())
    shown(opened, "s0 abnormal")
    yield opened
    opened.close()
    assert not errors
    assert set(asked) <= {"file", "blob", "data"}


def shown(page, what):
    """Wait until the viewer has drawn a subject's class, and give its canvas [rows, columns, RGB]."""
    page.wait_for_selector(f'#stage[data-drawn="{what}"]', timeout=60_000)
    page.wait_for_timeout(300)  # the next frame
    return np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"), dtype=int)


def colourful(canvas):
    """How many pixels are warm, as the map's colours are and grey anatomy and the blue cross are not."""
    return int(((canvas[..., 0] - canvas[..., 2]) > 60).sum())


@pytest.mark.slow
def test_the_map_is_on_the_canvas_until_it_is_switched_off(page):
    flat = shown(page, "s0 abnormal")
    assert (flat.max(2) > 100).mean() > 0.02  # the scan
    assert colourful(flat) == 0  # nothing stands out of this subject's own map
    assert page.locator("#level").text_content() == "this map is flat"
    page.select_option("#class", "normal")
    assert colourful(shown(page, "s0 normal")) == 0
    page.click("tr[data-subject=s1]")
    on = shown(page, "s1 normal")
    assert colourful(on) > 20
    page.uncheck("#map-on")
    off = shown(page, "s1 normal")
    assert colourful(off) == 0
    page.check("#map-on")
    page.select_option("#class", "abnormal")
    other = shown(page, "s1 abnormal")
    assert colourful(other) > 20
    assert (np.abs(other - on).max(2) > 30).any()  # it lies elsewhere


@pytest.mark.slow
def test_the_threshold_and_the_mask_show_what_they_say(page):
    page.click("tr[data-subject=s1]")
    page.uncheck("#mask-on")
    page.select_option("#class", "abnormal")
    half = shown(page, "s1 abnormal")
    page.fill("#threshold", "0.05")
    assert page.locator("#level").text_content() == "5 %, 0.150"
    low = shown(page, "s1 abnormal")
    assert (low != half).any(2).sum() > 50
    page.uncheck("#map-on")
    bare = shown(page, "s1 abnormal")
    page.select_option("#class", "normal")  # whose maximum lies in the mask
    bare = shown(page, "s1 normal")
    page.check("#mask-on")
    masked = shown(page, "s1 normal")
    assert (np.abs(masked - bare).max(2) > 20).sum() > 20


@pytest.mark.slow
def test_the_table_sorts_and_filters(page):
    names = "[...document.querySelectorAll('tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.subject)"
    subject = page.locator("th", has_text="subject")
    subject.click()
    assert page.evaluate(names) == ["s0", "s1"]
    subject.click()
    assert page.evaluate(names) == ["s1", "s0"]
    assert subject.get_attribute("aria-sort") == "descending"
    page.fill("#filter", "S1 abn")
    assert page.evaluate(names) == ["s1"]
    assert page.locator("#count").text_content() == "1 of 2"


@pytest.mark.slow
def test_a_subject_whose_script_is_gone_has_its_picture(page, folder):
    gone = folder / "viewer" / "s1.js"
    kept = gone.read_bytes()
    gone.unlink()
    try:
        page.click("tr[data-subject=s1]")
        page.wait_for_selector("#overlay:not([hidden])")
        assert page.locator("#note").text_content() == "viewer/s1.js is not beside this page: the picture in place of the viewer."
        assert page.evaluate("document.getElementById('overlay').naturalWidth") > 100
    finally:
        gone.write_bytes(kept)

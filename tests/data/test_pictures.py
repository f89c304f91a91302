from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hrcam_monai.data.pictures import PictureError, black_and_white, is_picture, read_picture, write_picture
from hrcam_monai.data.reading import ScanError, read_scan

GREY = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 8  # six rows, four columns
COLOUR = np.stack([GREY, GREY // 2, GREY // 3], axis=-1)


def saved(path, picture, **options):
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_grey_pixels_lie_along_columns_then_rows(tmp_path, suffix):
    pixels = read_picture(saved(tmp_path / f"a{suffix}", GREY))
    assert pixels.shape == (1, 4, 6, 1)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0, :, :, 0], GREY.T)


@pytest.mark.parametrize(
    "deep", [GREY.astype(np.uint16) * 200, GREY.astype(np.float32) / 7, GREY.astype(np.int32) * 1000], ids=["16", "float", "int"]
)
def test_more_than_eight_bits_stay_as_they_are(tmp_path, deep):
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "a.tif", deep))[0, :, :, 0], deep.T)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_grey_in_any_mode_is_grey(tmp_path, mode):
    black_white = Image.fromarray((GREY > 90).astype(np.uint8) * 255)
    path = saved(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), black_white.convert(mode))
    np.testing.assert_allclose(read_picture(path)[0, :, :, 0], np.asarray(black_white).T, atol=1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_colour_has_three_channels(tmp_path, mode):
    colour = Image.fromarray(COLOUR)
    picture = colour.quantize(256) if mode == "P" else colour.convert(mode)
    path = saved(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), picture)
    pixels = read_picture(path, channels=3)
    assert pixels.shape == (3, 4, 6, 1)
    np.testing.assert_allclose(pixels[..., 0], COLOUR.transpose(2, 1, 0), atol=8 if mode == "P" else 2)


def test_grey_where_colour_is_expected_has_its_value_three_times(tmp_path):
    pixels = read_picture(saved(tmp_path / "a.png", GREY), channels=3)
    np.testing.assert_array_equal(pixels, np.repeat(GREY.T[None, ..., None], 3, axis=0))


def test_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = read_picture(saved(tmp_path / "a.png", GREY, exif=exif))
    np.testing.assert_array_equal(turned[0, :, :, 0], np.rot90(GREY, -1).T)


def test_transparent_pixels_are_air(tmp_path):
    alpha = np.where(np.arange(4) < 2, 255, 0).astype(np.uint8) * np.ones((6, 1), np.uint8)
    pixels = read_picture(saved(tmp_path / "a.png", np.dstack([GREY, GREY, GREY, alpha])))
    np.testing.assert_array_equal(pixels[0, :, :, 0], (GREY * (alpha > 0)).T)


@pytest.mark.parametrize(
    ("picture", "channels", "message"),
    [
        (COLOUR, 1, "is in colour, but one grey channel is expected; convert it to grey, or train with --in_channels 3."),
        (np.dstack([COLOUR, GREY]), 3, "is partly transparent, so what its pixels show is not known; save it without"),
        (GREY, 2, "is a picture, but 2 channels are expected; pictures give 1 (grey) or 3 (colour)."),
        (GREY * 0 + 7, 1, "every voxel is 7; it shows nothing"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, picture, channels, message):
    path = saved(tmp_path / "a.png", picture)
    with pytest.raises(ScanError) as error:
        read_scan(path, channels=channels)
    assert str(error.value).startswith(f"{path}: {message}")


def test_several_pages_and_half_files_are_refused(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(GREY)]
    path = saved(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    with pytest.raises(ScanError, match="holds 2 pages; save the one to use"):
        read_scan(path)
    whole = saved(tmp_path / "b.png", np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8))
    whole.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(ScanError, match="b.png: cannot be read as an image"):
        read_scan(whole)


def test_rows_go_down_in_the_world(tmp_path):
    scan = read_scan(saved(tmp_path / "a.png", GREY))
    np.testing.assert_array_equal(scan.affine, np.diag([1, -1, 1, 1]))
    assert scan.shape == (1, 4, 6, 1)


def test_written_pictures_come_back(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 6, 1)).astype(np.float32)
    write_picture(values, tmp_path / "a.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif")[0], values)


def test_masks_are_black_and_white_or_labels():
    np.testing.assert_array_equal(black_and_white(np.array([0, 255, 0])), [0, 1, 0])
    np.testing.assert_array_equal(black_and_white(np.array([0, 1, 4])), [0, 1, 1])
    np.testing.assert_array_equal(black_and_white(np.array([255, 255])), [1, 1])


@pytest.mark.parametrize(
    "grey", [[0, 100, 255], [0, 50, 100], [0, 0.2, 1], [50, 200]], ids=["jpeg", "blurred", "soft", "no black"]
)
def test_masks_whose_edge_is_not_known_are_refused(grey):
    told = f"is a mask of {len(grey)} grey values from {grey[0]:g} to {grey[-1]:g}, so its edge is not known"
    with pytest.raises(PictureError, match=told):
        black_and_white(np.array(grey))


def test_white_as_zero_is_no_negative(tmp_path):
    """Pillow turns over eight bits, when it writes, too, and no others."""
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "a.tif", GREY, tiffinfo={262: 0}))[0, :, :, 0], GREY.T)
    saved(tmp_path / "b.tif", GREY.astype(np.uint16) * 200, tiffinfo={262: 0})
    with pytest.raises(PictureError, match="stores white as 0"):
        read_picture(tmp_path / "b.tif")


def test_what_is_transparent_in_sixteen_bits_is_0(tmp_path):
    deep = GREY.astype(np.uint16) * 200 + 7
    path = saved(tmp_path / "a.png", deep, transparency=7)
    np.testing.assert_array_equal(read_picture(path)[0, :, :, 0], np.where(deep == 7, 0, deep).T)


def test_pictures_are_told_by_their_names():
    assert [is_picture(f"a{s}") for s in (".png", ".JPG", ".nii.gz", "")] == [True, True, False, False]

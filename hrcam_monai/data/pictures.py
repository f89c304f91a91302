"""Pictures (PNG, JPEG, TIFF) as volumes of one slice, and maps back as pictures on the same pixels.

A picture's first axis runs along its columns to the right, its second along its rows downwards; its affine says so
(second axis towards -y), one unit a pixel, because pictures do not tell how large a pixel is.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hrcam_monai.utils.files import atomic_write

__all__ = [
    "AFFINE",
    "PICTURES",
    "PictureError",
    "black_and_white",
    "is_picture",
    "picture_suffix",
    "read_picture",
    "store_picture",
    "write_picture",
]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
AFFINE = np.diag([1.0, -1.0, 1.0, 1.0])  # columns to the right, rows downwards
GREY_TOLERANCE = 3  # of 255: how far JPEG drives the channels of a grey picture apart
LABELS = 20  # the highest value of a mask that is taken for a label, not for the grey of a smooth edge
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # TIFF's tag for how grey values are meant; Pillow turns eight bits over, and no others
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # modes of more than eight bits, which are grey


class PictureError(ValueError):
    """A picture that cannot be used: what is wrong with it, and what to do."""


def is_picture(path: str | Path) -> bool:
    """Whether the name is that of a picture.

    Example:
        >>> is_picture("slice_01.PNG"), is_picture("scan.nii.gz")
        (True, False)
    """
    return Path(path).suffix.lower() in PICTURES


def read_picture(path: str | Path, channels: int = 1) -> np.ndarray:
    """The pixels of a picture as a volume of one slice, float32 [channels, columns, rows, 1].

    Turned as its EXIF says. Palettes and CMYK become RGB; a grey picture may have its value in three channels; what is wholly
    transparent is 0. 16 bits and floating-point values stay as they are.

    Args:
        path: PNG, JPEG or TIFF.
        channels: 1 for grey, 3 for colour (a grey picture then gives the same three times).

    Raises:
        PictureError: several pages, colour where grey is expected, partly transparent, white stored as 0 in more than eight
            bits, or other channels than 1 and 3.
        OSError: not a picture, or cut short.

    Example:
        >>> read_picture("slice.png").shape  # doctest: +SKIP
        (1, 256, 256, 1)
    """
    if channels not in (1, 3):
        raise PictureError(f"is a picture, but {channels} channels are expected; pictures give 1 (grey) or 3 (colour).")
    with Image.open(path) as opened:
        pages = getattr(opened, "n_frames", 1)
        if pages > 1:
            raise PictureError(f"holds {pages} pages; save the one to use in a file of its own.")
        if opened.mode in DEEP and getattr(opened, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
            raise PictureError("stores white as 0 (TIFF's WhiteIsZero); save it with black as 0.")
        pixels = _pixels(ImageOps.exif_transpose(opened))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels, axis=2)
    elif channels == 1:
        spread = float(np.ptp(pixels, axis=2).max())
        if spread > GREY_TOLERANCE:
            raise PictureError(
                "is in colour, but one grey channel is expected; convert it to grey, or train with --in_channels 3."
            )
        pixels = pixels.mean(axis=2, keepdims=True)
    return np.ascontiguousarray(pixels.transpose(2, 1, 0)[..., None], dtype=np.float32)  # [rows, columns, C] before


def _pixels(picture: Image.Image) -> np.ndarray:
    """[rows, columns] of a grey picture, [rows, columns, 3] of any other."""
    if picture.mode in DEEP:
        values = np.asarray(picture)
        return values * (values != picture.info["transparency"]) if "transparency" in picture.info else values
    if picture.mode == "1":
        picture = picture.convert("L")
    if "transparency" in picture.info or picture.mode in ("PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        picture = picture.convert("RGB")  # palette, CMYK, YCbCr, LAB, HSV
    values = np.asarray(picture)
    if picture.mode not in ("LA", "RGBA"):
        return values
    alpha = values[..., -1:]
    if not np.isin(alpha, (0, 255)).all():
        raise PictureError("is partly transparent, so what its pixels show is not known; save it without an alpha channel.")
    opaque = values[..., :-1] * (alpha == 255)
    return opaque[..., 0] if picture.mode == "LA" else opaque


def black_and_white(pixels: np.ndarray) -> np.ndarray:
    """The mask that a picture shows: 1 where it is not black.

    Raises:
        PictureError: grey values, as smooth edges or JPEG make them: where the mask ends is not known. Whole numbers up to 20, as
            label maps have them, are labels.
    """
    values = np.unique(pixels)
    labels = values[-1] <= LABELS and (values == values.round()).all()
    if len(values) > 1 and (values[0] != 0 or (len(values) > 2 and not labels)):
        raise PictureError(
            f"is a mask of {len(values)} grey values from {values[0]:g} to {values[-1]:g}, so its edge is not known; "
            "save it in black and white, as PNG."
        )
    return (pixels > 0).astype(np.float32)


def picture_suffix(pixels: np.ndarray) -> str:
    """Of a file that holds these pixels as they are: PNG takes whole numbers of 16 bits, TIFF any.

    Example:
        >>> picture_suffix(np.array([0.0, 65535.0])), picture_suffix(np.array([0.5]))
        ('.png', '.tif')
    """
    return ".png" if (pixels == pixels.round()).all() and pixels.min() >= 0 and pixels.max() < 2**16 else ".tif"


def store_picture(pixels: np.ndarray, path: Path) -> None:
    """Write pixels as a picture that tells nothing else.

    Args:
        pixels: [channels, columns, rows, 1], as `read_picture` gives them.
        path: with the suffix of `picture_suffix`, or .tif.
    """
    values = pixels[..., 0].transpose(2, 1, 0)
    if picture_suffix(pixels) == ".png":
        values = values.astype(np.uint8 if values.max() < 2**8 else np.uint16)
    _save(Image.fromarray(np.ascontiguousarray(values if values.shape[2] == 3 else values[..., 0])), path)


def write_picture(array: np.ndarray, path: Path) -> None:
    """A volume of one slice [columns, rows, 1] as a picture: TIFF keeps floating-point values, PNG takes uint8."""
    _save(Image.fromarray(np.ascontiguousarray(array[..., 0].T)), path)


def _save(picture: Image.Image, path: Path) -> None:
    stream = io.BytesIO()  # Pillow itself writes TIFF past a full disk without a word
    picture.save(stream, Image.registered_extensions()[path.suffix])
    with atomic_write(path) as partial:
        partial.write_bytes(stream.getvalue())

"""N4 bias-field correction of itk images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hrcam_monai.data.itk_images import from_array, image_like, itk_types, to_array

__all__ = ["FINEST", "correct_bias", "fitting", "shrink_factors", "tissue_mask"]

FINEST = 20.0  # mm between knots: a finer field takes anatomy for bias (docs/prepare.md says what of the substantia nigra)


def shrink_factors(shape: Sequence[int], spacing: Sequence[float], most: int = 4) -> list[int]:
    """How much to shrink each axis: `most` for the finest, less for thick slices, and never below 16 voxels.

    Example:
        >>> shrink_factors((256, 256, 20), (0.86, 0.86, 7.0))
        [4, 4, 1]
    """
    wanted = [round(most * min(spacing) / s) for s in spacing]
    return [max(1, min(w, n // 16)) for w, n in zip(wanted, shape, strict=True)]


def fitting(extent: Sequence[float], most: int, finest: float) -> tuple[int, list[float]]:
    """How often the field is made finer, and how far each side is padded for it, mm.

    N4 lays one element of a spline over each side and halves all of them at each level. The longest side says how often; short
    ones are padded, as ANTs does, until their elements end no smaller than `finest`.

    Args:
        extent: of the sides, mm.
        most: levels.
        finest: least distance of knots, mm.

    Example:
        >>> fitting((200, 240, 180), 4, 20)
        (4, [200, 240, 180])
        >>> fitting((180, 240, 26), 4, 20)
        (4, [180, 240, 160])
        >>> fitting((72, 72, 26), 4, 20)
        (2, [72, 72, 40])
    """
    levels = min(most, 1 + max(0, math.floor(math.log2(max(extent) / finest))))
    return levels, [max(mm, finest * 2 ** (levels - 1)) for mm in extent]


def tissue_mask(image: Any) -> Any:
    """What is not air, by Otsu's threshold: uint8 itk image on the same grid."""
    itk, scan, label = itk_types()
    otsu = itk.OtsuThresholdImageFilter[scan, label].New(image, InsideValue=0, OutsideValue=1)
    otsu.Update()
    return otsu.GetOutput()


def correct_bias(
    image: Any, mask: Any, iterations: Sequence[int] = (50, 50, 50, 50), shrink: int = 4, finest: float = FINEST
) -> Any:
    """N4 bias-field correction: fitted on a shrunken image, applied to the full-size one.

    Args:
        image: itk image, float32, above zero inside the mask.
        mask: itk image, uint8, on the same grid: where the field is fitted.
        iterations: most iterations of each level of the field, coarse to fine; levels that would be too fine are left out.
        shrink: as in `shrink_factors`.
        finest: least distance of the field's knots, mm; see `fitting`.

    Returns:
        the image over the field, on the same grid.

    Raises:
        ValueError: the image is negative inside the mask; N4 works on logarithms.

    Source: Tustison et al., N4ITK: improved N3 bias correction, IEEE TMI 2010; by ITK.
    """
    itk, scan, label = itk_types()
    if itk.array_view_from_image(image)[itk.array_view_from_image(mask) > 0].min() < 0:
        raise ValueError("has negative intensities inside (normalised already?), which N4 cannot correct; use --no-n4.")
    shape, spacing = np.array(list(itk.size(image))), np.array(list(image.GetSpacing()))
    levels, extent = fitting(shape * spacing, len(iterations), finest)
    more = np.ceil((np.array(extent) - shape * spacing) / spacing - 1e-6).astype(int)
    before, after = more // 2, more - more // 2
    whole, inside = _padded(image, before, after), _padded(mask, before, after)
    factors = shrink_factors(list(itk.size(whole)), list(spacing), shrink)
    n4 = itk.N4BiasFieldCorrectionImageFilter[scan, label, scan].New()
    n4.SetInput(itk.shrink_image_filter(whole, shrink_factors=factors))
    n4.SetMaskImage(itk.shrink_image_filter(inside, shrink_factors=factors))
    n4.SetMaskLabel(1)
    n4.SetNumberOfFittingLevels([levels] * 3)  # one number each, but ITK halves all sides alike
    n4.SetMaximumNumberOfIterations(list(iterations)[:levels])
    n4.Update()
    lattice = n4.GetLogBiasFieldControlPointLattice()
    lattice.DisconnectPipeline()
    n4.SetInput(whole)  # the field is a spline: it can be drawn on any grid
    field = itk.array_from_image(n4.ReconstructBiasField(lattice))
    own = tuple(slice(b, b + n) for b, n in zip(before[::-1], shape[::-1], strict=True))
    return image_like(itk.array_view_from_image(image) / np.exp(field[own]), image)


def _padded(image: Any, before: np.ndarray, after: np.ndarray) -> Any:
    """The image with so many more voxels of air before and after each side; in the same place."""
    array, affine = to_array(image)
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ before
    return from_array(np.pad(array, list(zip(before, after, strict=True))), moved)

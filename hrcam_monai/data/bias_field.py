"""N4 bias-field correction of itk images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hrcam_monai.data.itk_images import image_like, itk_types

FINEST = 20.0  # mm between knots: a finer field takes anatomy for bias (docs/prepare.md says what of the substantia nigra)


def shrink_factors(shape: Sequence[int], spacing: Sequence[float], most: int = 4) -> list[int]:
    """How much to shrink each axis: `most` for the finest, less for thick slices, and never below 16 voxels.

    Example:
        >>> shrink_factors((256, 256, 20), (0.86, 0.86, 7.0))
        [4, 4, 1]
    """
    wanted = [round(most * min(spacing) / s) for s in spacing]
    return [max(1, min(w, n // 16)) for w, n in zip(wanted, shape, strict=True)]


def fitting_levels(extent: Sequence[float], most: int, finest: float = FINEST) -> list[int]:
    """Levels of the field along each axis: one spline over the image, halved level by level, never below `finest` mm.

    A head of 200 mm ends at 25 mm, where ANTs' recommended 200 mm do; a slab of 26 mm keeps its one.

    Example:
        >>> fitting_levels((72, 72, 26.4), most=4)
        [2, 2, 1]
    """
    return [min(most, 1 + max(0, math.floor(math.log2(mm / finest)))) for mm in extent]


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
        iterations: most iterations of each level of the field, coarse to fine; levels that would be too fine are left out
            (see `fitting_levels`).
        shrink: as in `shrink_factors`.
        finest: least distance of the field's knots, mm.

    Returns:
        the image over the field, on the same grid.

    Raises:
        ValueError: the image is negative inside the mask; N4 works on logarithms.
    """
    itk, scan, label = itk_types()
    if itk.array_view_from_image(image)[itk.array_view_from_image(mask) > 0].min() < 0:
        raise ValueError("has negative intensities inside (normalised already?), which N4 cannot correct; use --no-n4.")
    shape, spacing = list(image.GetLargestPossibleRegion().GetSize()), list(image.GetSpacing())
    factors = shrink_factors(shape, spacing, shrink)
    levels = fitting_levels([n * mm for n, mm in zip(shape, spacing, strict=True)], len(iterations), finest)
    n4 = itk.N4BiasFieldCorrectionImageFilter[scan, label, scan].New()
    n4.SetInput(itk.shrink_image_filter(image, shrink_factors=factors))
    n4.SetMaskImage(itk.shrink_image_filter(mask, shrink_factors=factors))
    n4.SetMaskLabel(1)
    n4.SetNumberOfFittingLevels(levels)
    n4.SetMaximumNumberOfIterations(list(iterations)[: max(levels)])
    n4.Update()
    lattice = n4.GetLogBiasFieldControlPointLattice()
    lattice.DisconnectPipeline()
    n4.SetInput(image)  # the field is a spline: it can be drawn on any grid
    field = itk.array_from_image(n4.ReconstructBiasField(lattice))
    return image_like(itk.array_view_from_image(image) / np.exp(field), image)

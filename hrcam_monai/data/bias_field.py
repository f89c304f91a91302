"""N4 bias-field correction of itk images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hrcam_monai.data.itk_images import image_like, itk_types


def shrink_factors(shape: Sequence[int], spacing: Sequence[float], most: int = 4) -> list[int]:
    """How much to shrink each axis: `most` for the finest, less for thick slices, and never below 16 voxels.

    Example:
        >>> shrink_factors((256, 256, 20), (0.86, 0.86, 7.0))
        [4, 4, 1]
    """
    wanted = [round(most * min(spacing) / s) for s in spacing]
    return [max(1, min(w, n // 16)) for w, n in zip(wanted, shape, strict=True)]


def tissue_mask(image: Any) -> Any:
    """What is not air, by Otsu's threshold: uint8 itk image on the same grid."""
    itk, scan, label = itk_types()
    otsu = itk.OtsuThresholdImageFilter[scan, label].New(image, InsideValue=0, OutsideValue=1)
    otsu.Update()
    return otsu.GetOutput()


def correct_bias(image: Any, mask: Any, iterations: Sequence[int] = (50, 50, 50, 50), shrink: int = 4) -> Any:
    """N4 bias-field correction: fitted on a shrunken image, applied to the full-size one.

    Args:
        image: itk image, float32, above zero inside the mask.
        mask: itk image, uint8, on the same grid: where the field is fitted.
        iterations: most iterations of each level of the field, coarse to fine.
        shrink: as in `shrink_factors`.

    Returns:
        the image over the field, on the same grid.

    Raises:
        ValueError: the image is negative inside the mask; N4 works on logarithms.
    """
    itk, scan, label = itk_types()
    if itk.array_view_from_image(image)[itk.array_view_from_image(mask) > 0].min() < 0:
        raise ValueError("has negative intensities inside (normalised already?), which N4 cannot correct; use --no-n4.")
    factors = shrink_factors(list(image.GetLargestPossibleRegion().GetSize()), list(image.GetSpacing()), shrink)
    n4 = itk.N4BiasFieldCorrectionImageFilter[scan, label, scan].New()
    n4.SetInput(itk.shrink_image_filter(image, shrink_factors=factors))
    n4.SetMaskImage(itk.shrink_image_filter(mask, shrink_factors=factors))
    n4.SetMaskLabel(1)
    n4.SetNumberOfFittingLevels([len(iterations)] * 3)
    n4.SetMaximumNumberOfIterations(list(iterations))
    n4.Update()
    lattice = n4.GetLogBiasFieldControlPointLattice()
    lattice.DisconnectPipeline()
    n4.SetInput(image)  # the field is a spline: it can be drawn on any grid
    field = itk.array_from_image(n4.ReconstructBiasField(lattice))
    return image_like(itk.array_view_from_image(image) / np.exp(field), image)

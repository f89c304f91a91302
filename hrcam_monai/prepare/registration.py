"""Register a head to the ICBM152 template: pure functions on itk images (LPS world, mm)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, center_of_mass, generate_binary_structure
from scipy.stats import rankdata
from sklearn.metrics import normalized_mutual_info_score

from hrcam_monai.data.itk_images import FLIP, from_array, image_like, itk_types, lps_affine, resample

__all__ = [
    "FINE",
    "MIN_SIMILARITY",
    "MODES",
    "PITCHES",
    "Levels",
    "as_affine",
    "centre",
    "coarse",
    "improve",
    "matrix",
    "register",
    "similarity",
    "template",
    "template_grid",
    "transform_of",
]

MODES = ("none", "rigid", "affine")
WORKING_MM = 2  # voxel size that transforms are sought at: finer costs eight times as much and gains nothing linear
MARGIN_MM = 4  # the template's brain grows by this where a whole head is sought, so that the brain's outline is seen too
PITCHES = (-0.35, 0.0, 0.35)  # radians; how a head lies in the scanner differs most in its nodding
FEW = 1000  # voxels of 2 mm: fewer of the template in a scan say nothing
MIN_SIMILARITY = 0.035  # docs/prepare.md says what was measured

Levels = Sequence[tuple[int, float]]
COARSE: Levels = [(4, 6.0)]  # shrink factor, smoothing in mm
FINE: Levels = [(2, 2.0), (1, 1.0)]


@dataclass(frozen=True, eq=False)
class _Template:
    """What is registered to, at `WORKING_MM`: the image, its brain mask, and the mask with a margin."""

    image: Any
    brain: Any
    margin: Any


@cache
def template() -> _Template:
    """The ICBM152 2009a T1 of nilearn: skull-stripped, in its wheel, so nothing is downloaded."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    volume, mask = load_mni152_template(resolution=WORKING_MM), load_mni152_brain_mask(resolution=WORKING_MM)
    brain = np.asarray(mask.dataobj) > 0
    grown = binary_dilation(brain, generate_binary_structure(3, 1), MARGIN_MM // WORKING_MM)
    image = from_array(np.asarray(volume.dataobj, np.float32), volume.affine)
    return _Template(image, *(from_array(m.astype(np.uint8), mask.affine) for m in (brain, grown)))


@cache
def template_grid(spacing: float) -> Any:
    """The grid of registered images: ICBM152's field of view at a voxel size in mm, as an empty uint8 itk image."""
    image = template().image
    affine = FLIP @ lps_affine(image)
    affine[:3, :3] *= spacing / WORKING_MM
    shape = [max(1, round(n * WORKING_MM / spacing)) for n in itk_types()[0].size(image)]
    return from_array(np.zeros(shape, np.uint8), affine)


def coarse(image: Any) -> Any:
    """The image averaged to about `WORKING_MM`; thick axes stay as they are."""
    factors = [max(1, round(WORKING_MM / s)) for s in image.GetSpacing()]
    return itk_types()[0].bin_shrink_image_filter(image, shrink_factors=factors)


def centre(image: Any, mass: bool) -> np.ndarray:
    """Centre of mass, or of the box: LPS world mm."""
    array = itk_types()[0].array_view_from_image(image)
    index = center_of_mass(array - array.min()) if mass else (np.array(array.shape) - 1) / 2
    return (lps_affine(image) @ [*index[::-1], 1.0])[:3]


def _starts(moving: Any) -> list[Any]:
    """Rigid transforms to begin from: centres of mass on each other at three pitches, centres of the boxes, the header."""
    itk, _, _ = itk_types()
    fixed = template().image
    mass, box = (centre(moving, m) - centre(fixed, m) for m in (True, False))
    starts = []
    for shift, pitch in [*((mass, p) for p in PITCHES), (box, 0.0), (np.zeros(3), 0.0)]:
        start = itk.Euler3DTransform.D.New(Center=centre(fixed, True).tolist(), Translation=shift.tolist())
        start.SetRotation(pitch, 0.0, 0.0)
        starts.append(start)
    return starts


def improve(moving: Any, transform: Any, mask: Any, levels: Levels, rate: float) -> float:
    """Improve a transform in place.

    Args:
        moving: itk image.
        transform: itk transform; changed.
        mask: where on the template to look; None for everywhere.
        levels: shrink factors and smoothing.
        rate: first step, mm.

    Returns:
        Mattes' mutual information, negative: lower is better.
    """
    itk, scan, _ = itk_types()
    metric = itk.MattesMutualInformationImageToImageMetricv4[scan, scan].New(NumberOfHistogramBins=32)
    if mask is not None:
        where = itk.ImageMaskSpatialObject[3].New(Image=mask)
        where.Update()
        metric.SetFixedImageMask(where)
    optimizer = itk.RegularStepGradientDescentOptimizerv4.D.New(
        LearningRate=rate, MinimumStepLength=0.01, NumberOfIterations=100, ReturnBestParametersAndValue=True
    )
    optimizer.SetScalesEstimator(itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(Metric=metric))
    method = itk.ImageRegistrationMethodv4[scan, scan].New(FixedImage=template().image, MovingImage=moving, Metric=metric)
    method.SetOptimizer(optimizer)
    method.SetInitialTransform(transform)
    method.SetInPlace(True)
    method.SetNumberOfLevels(len(levels))
    method.SetShrinkFactorsPerLevel([shrink for shrink, _ in levels])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma in levels])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.Update()
    return float(optimizer.GetValue())


def register(image: Any, mode: str, whole_head: bool = False) -> Any:
    """The transform that takes points of the template to points of the image.

    Several starts are tried at 8 mm; the best is refined inside the template's brain: outlines differ by how tightly
    a tool strips, and would pull the scale.

    Args:
        image: itk image, float32.
        mode: "rigid" or "affine".
        whole_head: not skull-stripped: the starts too look at the template's brain with its margin only, or the skull
            would be fitted to the brain's outline.

    Returns:
        itk transform, for `resample`; see `similarity` for whether it is any good.

    Raises:
        ValueError: no start overlaps with the template.
    """
    moving = coarse(image)
    tried: list[tuple[float, Any]] = []
    for start in _starts(moving):
        try:
            tried.append((improve(moving, start, template().margin if whole_head else None, COARSE, 4.0), start))
        except RuntimeError:  # nothing of the template falls into the image
            continue
    if not tried:
        raise ValueError("does not overlap with the template from any start; look at its orientation and voxel size.")
    rigid = min(tried, key=lambda found: found[0])[1]
    improve(moving, rigid, template().brain, FINE, 2.0)
    if mode == "rigid":
        return rigid
    affine = as_affine(rigid)
    improve(moving, affine, template().brain, FINE, 2.0)
    return affine


def as_affine(rigid: Any) -> Any:
    """A rigid transform as an affine one, to be improved further."""
    affine = itk_types()[0].AffineTransform.D3.New()
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def similarity(image: Any, transform: Any, margin: bool = False) -> float:
    """How well a registration fits: normalised mutual information (0 to 1) with the template inside its brain, or its margin too.

    Intensities are ranked first, so that scaling and contrast of the scan do not matter. What of the template lies outside
    the image does not count; 0 if hardly any of it lies inside.
    """
    itk, _, _ = itk_types()
    view = itk.array_view_from_image
    moving = coarse(image)
    field = image_like(np.ones(view(moving).shape, np.uint8), moving)
    seen = view(resample(field, template().image, transform, nearest=True)) > 0
    inside = (view(template().margin if margin else template().brain) > 0) & seen
    if inside.sum() < FEW:
        return 0.0
    moved = resample(moving, template().image, transform)
    ranks = [rankdata(view(i)[inside]) for i in (template().image, moved)]
    return float(normalized_mutual_info_score(*((r * 32 // (inside.sum() + 1)).astype(int) for r in ranks)))


def transform_of(affine: np.ndarray) -> Any:
    """The itk transform of a 4x4 matrix (RAS+ world, mm); the inverse of `matrix`."""
    itk, lps = itk_types()[0], FLIP @ affine @ FLIP
    transform = itk.AffineTransform.D3.New()
    transform.SetMatrix(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3])))
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def matrix(transform: Any) -> np.ndarray:
    """The 4x4 matrix of a transform, from template to scan, RAS+ world mm.

    Example:
        >>> matrix(transform_of(np.diag([2.0, 1.0, 1.0, 1.0])))[0]
        array([2., 0., 0., 0.])
    """
    affine = np.eye(4)
    affine[:3, :3] = itk_types()[0].array_from_matrix(transform.GetMatrix())
    affine[:3, 3] = list(transform.GetOffset())
    return FLIP @ affine @ FLIP

"""The steps that make an image ready: brain mask, bias correction, registration. Pure functions on itk images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from hrcam_monai.brain import USUAL_TOOL, NoBrainError, brain_mask, litres, stripped_brain, voxel_mm3
from hrcam_monai.data.itk_images import FLIP, image_like, itk_types, lps_affine, resample, to_array
from hrcam_monai.prepare.bias_field import FINEST, correct_bias, tissue_mask
from hrcam_monai.prepare.registration import MIN_SIMILARITY, matrix, register, similarity, template_grid
from hrcam_monai.prepare.slab import MIN_SLAB_SIMILARITY, is_slab, register_slab

__all__ = ["Steps", "process"]

NAMES = {"mask": "lesion mask"}  # of label images, in messages
KEPT = (0.8, 1.25)  # share of a mask's volume that must be left when it is drawn on the image's grid


@dataclass(frozen=True)
class Steps:
    """What is done to every image; written into its sidecar.

    Attributes:
        n4: correct the bias field.
        iterations: of N4, a level each.
        register: "none", "rigid" or "affine".
        spacing: voxel size of a registered image, mm.
        min_similarity: what a registration must reach (`registration.similarity`); by default what heads or slabs usually do.
        strip: "auto" cuts the brain out of an image that holds a skull, "always" out of every one; "never" goes on with skulls.
        strip_tool: that finds the brain; see `hrcam_monai.brain.brain_mask`.
        roi: point of the template (RAS+, mm) to find in the scan; a slab is looked for about it. Without `register` the
            image stays on its own grid.
        finest_knots: of N4, least distance of the field's knots, mm.
    """

    n4: bool = True
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    register: str = "none"
    spacing: float = 1.0
    min_similarity: float | None = None
    strip: str = "auto"
    roi: tuple[float, float, float] | None = None
    finest_knots: float = FINEST
    strip_tool: str = USUAL_TOOL


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What was made of an image.

    Attributes:
        image: itk image.
        skull: it seems to hold one, which was left on.
        brain: uint8 itk image, the brain that was cut out; None where it was so before, or was left in its skull.
        labels: label images on the image's grid.
        similarity: how well a registration fits.
        matrix: of the registration, template to scan [4, 4] (RAS+).
        roi: where the point of the template lies in the image, RAS+ mm.
    """

    image: Any
    skull: bool
    labels: Mapping[str, Any] = field(default_factory=dict)
    similarity: float | None = None
    matrix: np.ndarray | None = None
    roi: np.ndarray | None = None
    brain: Any | None = None


def _on_grid_of(image: Any, mask: Any, name: str) -> Any:
    """A mask on the image's grid, by nearest neighbour in world space: the same voxels if the grids are the same.

    Raises:
        ValueError: it does not lie on the image.
    """
    itk = itk_types()[0]
    moved = resample(mask, image, nearest=True)
    lost = np.setdiff1d(*(itk.array_view_from_image(m) for m in (mask, moved)))
    if lost.any() and name == "regions":
        raise ValueError(
            f"its regions do not lie on it (label {lost.max()} is lost on the image's grid); draw them on this image."
        )
    before, after = (litres(itk.array_view_from_image(m), voxel_mm3(lps_affine(m))) for m in (mask, moved))
    if before and not KEPT[0] <= after / before <= KEPT[1]:
        raise ValueError(
            f"its {name} does not lie on it ({after / before:.0%} of the mask is left on the image's grid); "
            "make the mask from this very image."
        )
    return moved


def _brain(image: Any, steps: Steps) -> tuple[Any | None, Any | None]:
    """The brain of an image, None where it stays in its skull; and the same again if it was cut out here."""
    values, affine = to_array(image)
    known = None if steps.strip == "always" else stripped_brain(values, voxel_mm3(affine))
    if known is not None:
        return _mask_like(known, image), None
    if steps.strip == "never" or (steps.roi is not None and is_slab(image)):
        return None, None
    if is_slab(image):
        raise ValueError("seems to hold a skull, and is too thin to be stripped; give --brain-masks, or --strip never to go on.")
    try:
        found = _mask_like(brain_mask(values, affine, tool=steps.strip_tool), image)
    except NoBrainError as error:
        raise ValueError(f"{error} Give --brain-masks, or --strip never to go on with its skull.") from None
    return found, found


def _mask_like(mask: np.ndarray, image: Any) -> Any:
    """[X, Y, Z] as uint8 itk image."""
    return image_like(mask.transpose(2, 1, 0).astype(np.uint8), image)


def _times(image: Any, mask: Any) -> Any:
    """The image with air (0) outside the mask."""
    view = itk_types()[0].array_view_from_image
    return image_like(np.where(view(mask) > 0, view(image), 0).astype(np.float32), image)


def _find_in(image: Any, steps: Steps, whole_head: bool) -> tuple[Any, float]:
    """The transform from the template to the image, by the registration that suits it, and how well it fits.

    Raises:
        ValueError: nothing overlaps, it fits badly, or a slab without a point to look for.
    """
    mode = "affine" if steps.register == "none" else steps.register
    slab = is_slab(image)
    if not slab:
        transform = register(image, mode, whole_head=whole_head)
    elif steps.roi is None:
        raise ValueError("is a slab, too thin to be registered by itself; say with --roi which point of the template it shows.")
    else:
        transform = register_slab(image, mode, steps.roi)
    usual = MIN_SLAB_SIMILARITY if slab else MIN_SIMILARITY
    least = usual if steps.min_similarity is None else steps.min_similarity
    fit = similarity(image, transform, margin=slab)
    if fit < least:
        remedy = "whether --roi is a point that it shows" if slab else "whether it is a whole brain and well stripped"
        raise ValueError(
            f"registration failed (similarity {fit:.3f}, at least {least:g} expected); look {remedy}, or leave --register "
            "and --roi out."
        )
    return transform, fit


def process(image: Any, steps: Steps, brain: Any | None = None, labels: Mapping[str, Any] | None = None) -> _Prepared:
    """Do the steps to one image.

    Args:
        image: itk image, float32.
        steps: which.
        brain: uint8 itk image, its brain mask; by default found as `steps.strip` says.
        labels: uint8 itk images by name, as a lesion mask; they go where the image goes.

    Raises:
        ValueError: it is constant, a slab with a skull, no brain is found in its skull, a mask does not lie on it or is empty,
            or its registration failed. The message begins after the image's name.
    """
    view = itk_types()[0].array_view_from_image
    if view(image).min() == view(image).max():
        raise ValueError(f"every voxel is {view(image).max():g}; it shows nothing: check how it was made.")
    cut = None
    if brain is None:
        brain, cut = _brain(image, steps)
    else:
        brain = _on_grid_of(image, image_like((view(brain) > 0).astype(np.uint8), brain), "brain mask")
        if not view(brain).any():
            raise ValueError("its brain mask is empty; make it again.")
    # a slab about a point is cropped about it: what else it shows is left out
    skull = brain is None and not (steps.roi is not None and is_slab(image))
    placed = {name: _on_grid_of(image, label, NAMES.get(name, name)) for name, label in (labels or {}).items()}
    if steps.n4:
        mask = tissue_mask(image) if brain is None else brain
        image = correct_bias(image, mask, steps.iterations, finest=steps.finest_knots)
    stripped = image if brain is None else _times(image, brain)
    if steps.register == "none" and steps.roi is None:
        return _Prepared(stripped, skull, placed, brain=cut)
    transform, fit = _find_in(stripped, steps, whole_head=brain is None)
    found = matrix(transform)
    if steps.register == "none":
        roi = apply_affine(found, np.array(steps.roi))
        voxel = apply_affine(np.linalg.inv(FLIP @ lps_affine(image)), roi).round()
        if (voxel < 0).any() or (voxel >= list(itk_types()[0].size(image))).any():
            raise ValueError("does not show the point of --roi, which lies outside it; give another, or leave this scan out.")
        return _Prepared(stripped, skull, placed, fit, found, roi, cut)
    grid = template_grid(steps.spacing)
    # interpolated before the brain is cut out, so that its edge is not mixed with air
    moved = resample(image, grid, transform)
    if brain is not None:
        there = resample(brain, grid, transform, nearest=True)
        moved, cut = _times(moved, there), cut and there
    placed = {name: resample(label, grid, transform, nearest=True) for name, label in placed.items()}
    return _Prepared(moved, skull, placed, fit, found, None if steps.roi is None else np.array(steps.roi), cut)

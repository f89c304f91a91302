"""The steps that make an image ready: brain mask, bias correction, registration. Pure functions on itk images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from hrcam_monai.data.bias_field import FINEST, correct_bias, tissue_mask
from hrcam_monai.data.itk_images import FLIP, image_like, itk_types, lps_affine, resample
from hrcam_monai.data.registration import MIN_SIMILARITY, matrix, register, similarity, template_grid
from hrcam_monai.data.slab import MIN_SLAB_SIMILARITY, is_slab, register_slab

MOST_BRAIN_LITRES = 2.6  # with its fluid, and in the large template that phantoms are made of; heads hold three and more
LEAST_AIR = 0.2  # a brain fills about half of the tightest box
TRACE = 1e-3
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
        keep_skull: go on with an image that seems to hold a skull.
        roi: point of the template (RAS+, mm) to find in the scan; a slab is looked for about it. Without `register` the
            image stays on its own grid.
        finest_knots: of N4, least distance of the field's knots, mm.
    """

    n4: bool = True
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    register: str = "none"
    spacing: float = 1.0
    min_similarity: float | None = None
    keep_skull: bool = False
    roi: tuple[float, float, float] | None = None
    finest_knots: float = FINEST


@dataclass(frozen=True, eq=False)
class Prepared:
    """What was made of an image.

    Attributes:
        image: itk image.
        skull: it seems to hold one.
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


def stripped_brain(image: Any) -> Any | None:
    """The brain of a skull-stripped image, as a uint8 itk image; None if the image seems to hold a skull.

    Stripped means: the value most common on the box's faces is that of one fifth of all voxels or more (air that a tool
    has set; a scanner's is noise), and all else fills no more than a brain.
    """
    array = itk_types()[0].array_view_from_image(image)
    faces = np.concatenate([array[s].ravel() for a in range(3) for s in ((slice(None),) * a + (i,) for i in (0, -1))])
    values, counts = np.unique(faces, return_counts=True)
    air = values[counts.argmax()]
    # a thousandth of the brightest tissue is air too: interpolation leaves such traces
    inside = np.abs(array - air) > TRACE * (np.percentile(array, 99.5) - air)
    if inside.mean() > 1 - LEAST_AIR or _litres(inside, image) > MOST_BRAIN_LITRES:
        return None
    return image_like(inside.astype(np.uint8), image)


def _litres(inside: np.ndarray, image: Any) -> float:
    return float(inside.sum() * np.prod(list(image.GetSpacing())) / 1e6)


def on_grid_of(image: Any, mask: Any, name: str) -> Any:
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
    before, after = (_litres(itk.array_view_from_image(m) > 0, m) for m in (mask, moved))
    if before and not KEPT[0] <= after / before <= KEPT[1]:
        raise ValueError(
            f"its {name} does not lie on it ({after / before:.0%} of the mask is left on the image's grid); "
            "make the mask from this very image."
        )
    return moved


def _times(image: Any, mask: Any) -> Any:
    """The image with air (0) outside the mask."""
    view = itk_types()[0].array_view_from_image
    return image_like(np.where(view(mask) > 0, view(image), 0).astype(np.float32), image)


def find_in(image: Any, steps: Steps, whole_head: bool) -> tuple[Any, float]:
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


def process(image: Any, steps: Steps, brain: Any | None = None, labels: Mapping[str, Any] | None = None) -> Prepared:
    """Do the steps to one image.

    Args:
        image: itk image, float32.
        steps: which.
        brain: uint8 itk image, its brain mask; by default found if the image is skull-stripped.
        labels: uint8 itk images by name, as a lesion mask; they go where the image goes.

    Raises:
        ValueError: it is constant, seems to hold a skull, a mask does not lie on it or is empty, or its registration failed. The
            message begins after the image's name.
    """
    view = itk_types()[0].array_view_from_image
    if view(image).min() == view(image).max():
        raise ValueError(f"every voxel is {view(image).max():g}; it shows nothing: check how it was made.")
    if brain is None:
        brain = stripped_brain(image)
    else:
        brain = on_grid_of(image, image_like((view(brain) > 0).astype(np.uint8), brain), "brain mask")
        if not view(brain).any():
            raise ValueError("its brain mask is empty; make it again.")
    part = steps.roi is not None and is_slab(image)  # a slab about a point is cropped about it: what else it shows is left out
    skull = brain is None and not part
    if skull and not steps.keep_skull:
        raise ValueError(
            "seems to hold a skull (no clean air, or more tissue than a brain); strip it with HD-BET or SynthStrip and give "
            "--brain-masks, or go on with --keep-skull."
        )
    placed = {name: on_grid_of(image, label, NAMES.get(name, name)) for name, label in (labels or {}).items()}
    if steps.n4:
        mask = tissue_mask(image) if brain is None else brain
        image = correct_bias(image, mask, steps.iterations, finest=steps.finest_knots)
    stripped = image if brain is None else _times(image, brain)
    if steps.register == "none" and steps.roi is None:
        return Prepared(stripped, skull, placed)
    transform, fit = find_in(stripped, steps, whole_head=brain is None)
    found = matrix(transform)
    if steps.register == "none":
        roi = apply_affine(found, np.array(steps.roi))
        voxel = apply_affine(np.linalg.inv(FLIP @ lps_affine(image)), roi).round()
        if (voxel < 0).any() or (voxel >= list(itk_types()[0].size(image))).any():
            raise ValueError("does not show the point of --roi, which lies outside it; give another, or leave this scan out.")
        return Prepared(stripped, skull, placed, fit, found, roi)
    grid = template_grid(steps.spacing)
    # interpolated before the brain is cut out, so that its edge is not mixed with air
    moved = resample(image, grid, transform)
    if brain is not None:
        moved = _times(moved, resample(brain, grid, transform, nearest=True))
    placed = {name: resample(label, grid, transform, nearest=True) for name, label in placed.items()}
    return Prepared(moved, skull, placed, fit, found, None if steps.roi is None else np.array(steps.roi))

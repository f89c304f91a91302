"""Dictionary transforms that cut the brain out of a whole head, and keep maps within it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.utils.data import get_worker_info

from hrcam_monai.brain.extraction import USUAL_TOOL, NoBrainError, brain_mask, check_tool
from hrcam_monai.brain.given import GIVEN
from hrcam_monai.brain.stripped import THIN_MM, air_of, litres, stripped_brain, voxel_mm3

__all__ = ["HEAD", "STRIP", "StripBraind", "WithinBraind"]

STRIP = ("auto", "always", "never")  # what to do with skulls
HEAD = "head"  # key of an item, and column of predictions.csv: how its brain came to be cut out
AS_IT_CAME, TOO_THIN = "stripped already", "too thin to be stripped"


class StripBraind(MapTransform):
    """Set all that is not brain to 0, unless the brain is cut out already.

    It runs on the image as it was read, so that the mask lies on the scan's own voxels. A mask that a person gives
    (`given_brain`, which `FindBrainMaskd` names and `LoadMaskd` reads) is used as it is, whatever `strip` says.

    Args:
        keys: of images [1, X, Y, Z] with their affine and, for messages, `file`.
        strip: "auto" leaves alone a head that is stripped already (but for air that is not 0) and a thin slab, "always" strips
            those, too, "never" leaves every image as it is.
        tool: that finds the brain: "deepbet", or "hd-bet", which is slower and must be installed.
        brain_key: of the mask [1, X, Y, Z], uint8, that is kept of a brain that was cut out here; None keeps none. With it,
            `head` tells what was done.
        allow_missing_keys: as in MONAI.

    Raises:
        ValueError: no such `strip` or tool; the brain of a head is not found, or the mask given is empty: the message names
            its file.
        ImportError: the tool is not installed.

    Example:
        >>> StripBraind("image")({"image": head})["image"]  # doctest: +SKIP
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        strip: str = "auto",
        tool: str = USUAL_TOOL,
        brain_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if strip not in STRIP:
            raise ValueError(f"strip is '{strip}'; choose one of {', '.join(STRIP)}.")
        if strip != "never":
            check_tool(tool)
        self.strip, self.tool, self.brain_key = strip, tool, brain_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if GIVEN in d:
            return self._as_given(d)
        if self.strip == "never":
            return d
        for key in self.key_iterator(d):
            if self.strip == "auto" and _thin(d[key]):
                if self.brain_key:
                    d[HEAD] = TOO_THIN
                continue
            air = air_of(d[key][0].cpu().numpy())
            try:
                d[key], brain = self._stripped(d[key])
            except NoBrainError as error:
                file = d.get("file", key)
                raise ValueError(f"{file}: {error} To go on with whole images, set strip to never.") from None
            if self.brain_key:
                d[HEAD] = AS_IT_CAME if air == 0 else f"{AS_IT_CAME}, air of {air:g} set to 0"
                if brain is not None:
                    size = litres(brain.numpy(), voxel_mm3(np.asarray(brain.affine)))
                    d[HEAD], d[self.brain_key] = f"brain cut out, {size:.2f} l", brain
        return d

    def _as_given(self, d: dict[Hashable, Any]) -> dict[Hashable, Any]:
        brain = d.pop(GIVEN).to(torch.uint8)
        if not brain.any():
            file = d.get("file", self.keys[0])
            raise ValueError(f"{file}: the brain mask given of it is empty; draw it, or leave brain_masks out.")
        for key in self.key_iterator(d):
            d[key] = _within(d[key], brain, min(float(d[key].min()), 0.0))
        if self.brain_key:
            size = litres(brain[0].numpy(), voxel_mm3(np.asarray(brain.affine)))
            d[HEAD], d[self.brain_key] = f"brain mask given, {size:.2f} l", brain
        return d

    def _stripped(self, image: MetaTensor) -> tuple[MetaTensor, MetaTensor | None]:
        """The image with air of 0, and its brain if it was cut out here."""
        values, affine = image[0].cpu().numpy(), np.asarray(image.affine, dtype=float)
        known = None if self.strip == "always" else stripped_brain(values, voxel_mm3(affine))
        if known is not None and air_of(values) == 0:
            return image, None
        if known is None:
            # a worker process must not start CUDA
            device = "cuda" if torch.cuda.is_available() and get_worker_info() is None else "cpu"
            inside = brain_mask(values, affine, tool=self.tool, device=device)
        else:
            inside = known
        # air becomes 0 and tissue lies above it, or resampling would mix the brain's edge with values that are no scan's
        air = air_of(values) if known is not None else min(float(values.min()), 0.0)
        brain = MetaTensor(torch.from_numpy(np.ascontiguousarray(inside))[None].to(torch.uint8), meta=dict(image.meta))
        return _within(image, brain, air), brain if known is None else None


def _within(image: MetaTensor, brain: MetaTensor, air: float) -> MetaTensor:
    """The image, its air 0, and 0 outside the brain."""
    return MetaTensor((image.as_tensor() - air) * brain.as_tensor(), meta=dict(image.meta))


def _thin(image: MetaTensor) -> bool:
    sides = np.array(image.shape[1:]) * np.linalg.norm(np.asarray(image.affine, dtype=float)[:3, :3], axis=0)
    return bool(sides.min() < THIN_MM)


class WithinBraind(MapTransform):
    """Set maps to 0 outside the brain, on the scan's own voxels; where there is no mask, leave them.

    Args:
        keys: of maps [K, X, Y, Z].
        brain_key: the mask that `StripBraind` has kept.
    """

    def __init__(self, keys: KeysCollection, *, brain_key: str | None = "brain") -> None:
        super().__init__(keys)
        self.brain_key = brain_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.brain_key in d:
            inside = torch.as_tensor(d[self.brain_key])
            for key in self.keys:
                d[key] = d[key] * inside.to(d[key].device, d[key].dtype)
        return d

"""The scores of a subject's map against its mask, one list for evaluation, cross-validation and comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrcam_monai.data.failures import Failures
from hrcam_monai.metrics.localization import localization_scores
from hrcam_monai.metrics.measures import LOCALIZATION, SIDES
from hrcam_monai.transforms.regions import side_scores
from hrcam_monai.utils.classes import Classes

__all__ = ["MapScores", "has_lesion"]


def has_lesion(item: Mapping[str, Any], classes: Classes) -> bool:
    """Whether a subject's own class marks something, and a person has drawn where.

    Args:
        item: `label`, and `mask` where there is one.
        classes: of the task.

    Example:
        >>> classes = Classes(("normal", "abnormal"))
        >>> has_lesion({"label": 1, "mask": torch.ones(1, 2, 2)}, classes), has_lesion({"label": 1}, classes)
        (True, False)
    """
    return classes.are_marked(int(item["label"])) and "mask" in item and bool((torch.as_tensor(item["mask"]) > 0.5).any())


@dataclass
class MapScores:
    """Localisation of a map, and its side where the subject has labelled regions.

    Regions that cannot be read are noted, and cost only the side.

    Attributes:
        spacing: of the network's grid, mm.
        tolerance_mm: of the pointing game.
        failures: where faults of regions are noted; None raises them.

    Example:
        >>> item = {"subject": "s", "mask": torch.tensor([[[1, 0]]])}
        >>> MapScores((1, 1))(item, torch.tensor([[0.9, 0.1]]))["pixel_ap"]
        1.0
    """

    spacing: Sequence[float] = (1.0, 1.0, 1.0)
    tolerance_mm: float = 0.0
    failures: Failures | None = None

    def __call__(self, item: Mapping[str, Any], heat: Tensor) -> dict[str, Any]:
        """Scores of a map [*spatial] on the grid of the item's `image` and `mask`, [1, *spatial]."""
        values = heat.detach().cpu().as_subclass(Tensor)
        mask = (torch.as_tensor(item["mask"])[0] > 0.5).cpu().as_subclass(Tensor)
        scores: dict[str, Any] = dict(
            localization_scores(values, mask, spacing=self.spacing[: values.ndim], tolerance_mm=self.tolerance_mm)
        )
        scores |= {key: float(one.of(values.numpy(), mask.numpy())) for key, one in LOCALIZATION.items() if one.of is not None}
        if "regions" in item:
            scores |= self._sides(item, values.numpy(), mask.numpy())
        return scores

    def _sides(self, item: Mapping[str, Any], heat: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        try:
            return dict(side_scores(heat, mask, item["image"], item["regions"]))
        except Exception as error:
            if self.failures is None:
                raise
            self.failures.add(str(item["subject"]), str(item["regions"]), error)
            return dict.fromkeys(SIDES, "")

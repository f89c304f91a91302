"""What the inferer returned, taken apart; its map as a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from hrcam_monai.transforms.load import is_tissue
from hrcam_monai.transforms.thresholds import evidence_range, threshold_between
from hrcam_monai.utils.classes import Classes

__all__ = ["LabelMapd", "ReadPredictiond"]


class ReadPredictiond(Transform):
    """Take apart what the inferer returned: `pred` becomes `logits`, `probabilities`, `predicted` and `map`.

    `map` is the class map of one class, [1, *spatial], with the image's geometry, so that `Invertd` can bring it back
    to the scan's own grid.

    Args:
        map_class: `predicted`, `label` (the true class, for evaluation), the name of a class, or its index.
        image_key: the image that the maps belong to.
        classes: names of the classes.
        asked: the choice, in place of `map_class`, of a request to MONAI Label; of a list, which a request without a
            choice brings, the first.
        scored_class: as `map_class`; its map goes to `scored_map`, and stays on the network's grid. Where the inferer keeps the
            maps that it is the mean of, those of this class go to `own_maps`, [1 + axes, *spatial].
        every_class: also give `class_maps`, [K, *spatial], of all classes; not to MONAI Label.

    Raises:
        ValueError: a class that is none of these; logits that are not finite.
    """

    def __init__(
        self,
        *,
        map_class: str | int = "predicted",
        image_key: str = "image",
        classes: Sequence[str] = (),
        asked: str | int | Sequence[str | int] | None = None,
        scored_class: str | int | None = None,
        every_class: bool = False,
    ) -> None:
        self.classes = list(classes)
        self.every_class = every_class
        self.scored_class = None if scored_class is None else self._known(scored_class)
        self.map_class = self._known(map_class)
        self.asked = self._known(asked[0] if isinstance(asked, list | tuple) else asked) if asked else self.map_class
        self.image_key = image_key

    def _known(self, choice: Any) -> Any:
        """The index of a class, or `predicted` or `label`."""
        if isinstance(choice, str) and choice in self.classes:
            return self.classes.index(choice)
        if isinstance(choice, str) and choice not in ("predicted", "label"):
            named = "".join(f", '{c}'" for c in self.classes)
            raise ValueError(f"map_class is '{choice}'; it must be 'predicted', 'label'{named} or the index of a class.")
        return choice

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        pred = d.pop("pred")
        logits = torch.as_tensor(pred["logits"]).float()
        if not torch.isfinite(logits).all():  # argmax would name the first class
            told = ", ".join(f"{v:g}" for v in logits.tolist())
            raise ValueError(f"the network's logits are {told}: its weights are damaged, or the image's values no scan's.")
        d["logits"] = logits
        d["probabilities"] = logits.softmax(0)
        d["predicted"] = int(logits.argmax())
        if "maps" in pred:
            for_label = "image_path" in d  # MONAI Label puts it there
            choice = self.asked if for_label else self.map_class
            maps, image, index = torch.as_tensor(pred["maps"]), d[self.image_key], self._index(choice, d)
            chosen = maps[index : index + 1].float()
            d["map"] = MetaTensor(chosen, meta=dict(image.meta), applied_operations=image.applied_operations)
            if self.every_class and not for_label:
                d["class_maps"] = MetaTensor(maps.float(), meta=dict(image.meta))
            d["map_class"] = index
            if self.scored_class is not None:
                scored = self._index(self.scored_class, d)
                d["scored_map"] = maps[scored : scored + 1].float()
                if "own_maps" in pred:
                    d["own_maps"] = torch.as_tensor(pred["own_maps"])[:, scored]
        return d

    def _index(self, choice: Any, d: Mapping[Hashable, Any]) -> int:
        return int({"predicted": d["predicted"], "label": d.get("label")}.get(choice, choice))


class LabelMapd(Transform):
    """Threshold the map into a label map, whose value is the index of the map's class. On the network's own grid.

    Voxels of the head count from `hrcam_monai.transforms.thresholds.threshold_between` the map's median and its maximum on.
    The first class (index 0) is no finding, so its label map is empty, unless told
    otherwise.

    Args:
        threshold: share of the way, or of the highest probability, in (0, 1).
        scale: `evidence` or `probability`, which of the two.
        first_is_finding: the first class is a finding like the others; values are then the class's index plus one.
        map_key: the map.
        image_key: the image; its voxels of 0 are air.
        output_key: where the label map goes.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        map_key: str = "map",
        image_key: str = "image",
        output_key: str = "label_map",
        first_is_finding: bool = False,
        scale: str = "evidence",
    ) -> None:
        threshold_between(0.0, 1.0, threshold, scale)  # a fault of theirs is told before any work
        self.threshold = threshold
        self.scale = scale
        self.map_key = map_key
        self.image_key = image_key
        self.output_key = output_key
        self.classes = Classes.of((), first_is_finding)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        heat, head = d[self.map_key], is_tissue(d[self.image_key].as_tensor()).any(0, keepdim=True).to(d[self.map_key].device)
        values = heat.as_tensor()
        of = evidence_range(values, head, self.threshold, self.scale)
        found = head & (values >= of.threshold) & (not of.empty)
        label_map = (found * self.classes.label_value(int(d["map_class"]))).to(torch.uint8)
        d[self.output_key] = MetaTensor(label_map, meta=dict(heat.meta), applied_operations=heat.applied_operations)
        return d

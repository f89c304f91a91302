"""What MONAI Label expects of a bundle, beyond what monai.bundle asks for.

Inference there takes the transforms of `postprocessing` and reads `pred` (the image) and `result` (the JSON) from what they
leave. Training there puts `{"image": path, "label": path of a mask}` in place of the training items, and a CheckpointLoader
of the served weights before the training handlers; what training leaves in the place of these weights is served from then on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.handlers import CheckpointLoader
from monai.transforms import Transform

from hrcam_monai.brain import HEAD
from hrcam_monai.data.pictures import is_picture
from hrcam_monai.data.slices import visible_slices
from hrcam_monai.data.unusual import UNUSUAL
from hrcam_monai.input_check import CHECK

__all__ = ["ClassOfMaskd", "MonaiLabelResultd", "epochs_unless_loaded", "map_choices", "weights_to_write"]

logger = logging.getLogger(__name__)


def map_choices(classes: Sequence[str], map_class: str | int, first_is_finding: bool = False) -> list[str | int]:
    """Whose map a request may ask for; the first is what one without a choice gets.

    Where the first class means that nothing was found, whose map is empty, that is the class after it; otherwise what the
    configuration shows.

    Example:
        >>> map_choices(["normal", "abnormal"], "predicted")
        ['abnormal', 'predicted', 'normal']
        >>> map_choices(["meningioma", "glioma"], "predicted", first_is_finding=True)
        ['predicted', 'meningioma', 'glioma']
    """
    return [map_class, *classes] if first_is_finding else [*classes[1:], map_class, classes[0]]


class MonaiLabelResultd(Transform):
    """Name the results as MONAI Label reads them: `pred`, the image, and `result`, the JSON.

    The image is the float map; the label map for clients that ask for an integer `result_dtype` (3D Slicer and OHIF do). Of a
    picture the map is a TIFF and the label map a PNG, unless the request names a `result_extension`: PNG holds no fractions, and
    JPEG alters values.
    After `ReadPredictiond`, `Invertd` and `LabelMapd`.

    Args:
        classes: names of the classes.
        map_key: the map.
        label_map_key: the label map.
    """

    def __init__(self, classes: Sequence[str], map_key: str = "map", label_map_key: str = "label_map") -> None:
        self.classes = list(classes)
        self.map_key = map_key
        self.label_map_key = label_map_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        asked = d.get("result_dtype")
        integers = asked is not None and np.dtype(asked).kind in "iu"
        d["pred"] = d[self.label_map_key if integers else self.map_key]
        if is_picture(str(d.get("image_path", ""))):
            d["result_extension"] = d.get("result_extension") or (".png" if integers else ".tif")
        scores = [
            {"idx": i, "label": c, "score": float(p)}
            for i, (c, p) in enumerate(zip(self.classes, d["probabilities"], strict=True))
        ]
        shown = self.classes[int(d["map_class"])]
        said = {key: d[key] for key in (CHECK, HEAD, UNUSUAL) if key in d}
        d["result"] = {"prediction": scores, "predicted_class": self.classes[int(d["predicted"])], "map_class": shown} | said
        return d


class ClassOfMaskd(Transform):
    """A `label` that is the path of a mask becomes a class, and the slices on which the mask shows; a class stays as it is.

    The class is the largest value of the mask: an empty one is class 0.

    Args:
        label_key: the label.
        num_classes: how many classes there are.

    Raises:
        ValueError: a mask with a value that is no class.
    """

    def __init__(self, num_classes: int, label_key: str = "label") -> None:
        self.num_classes = num_classes
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        path = d.get(self.label_key)
        if not isinstance(path, (str, Path)):
            return d
        volume = nib.load(path)
        mask = np.asarray(volume.dataobj)  # type: ignore[attr-defined]
        d[self.label_key] = int(mask.max())
        if not 0 <= d[self.label_key] < self.num_classes:
            raise ValueError(f"{path}: holds {mask.max()}, which is none of the {self.num_classes} classes; relabel the mask.")
        if mask.any():
            d["slices"] = visible_slices(mask > 0, volume.affine)  # type: ignore[attr-defined]
        return d


def _loaded(handlers: Sequence[Any]) -> str | None:
    """The weights that a CheckpointLoader among the handlers starts from."""
    return next((str(h.load_path) for h in handlers if isinstance(h, CheckpointLoader)), None)


def epochs_unless_loaded(epochs: int, handlers: Sequence[Any]) -> int:
    """Epochs of the first stage: none if the second one starts from loaded weights anyway."""
    return 0 if _loaded(handlers) else epochs


def weights_to_write(default: str | Path, handlers: Sequence[Any]) -> str:
    """Where the trained weights go: where they were loaded from (a copy of those is kept beside), otherwise the default."""
    path = _loaded(handlers)
    if path is None:
        return str(default)
    backup = Path(path).with_suffix(".pt.before_training")
    if not backup.exists():
        shutil.copyfile(path, backup)
        logger.info("%s is trained further; the weights that came with it are kept in %s", path, backup.name)
    return path

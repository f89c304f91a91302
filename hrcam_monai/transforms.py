"""Dictionary transforms that the bundle needs and MONAI lacks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable, RandomizableTransform, Transform
from scipy.ndimage import gaussian_filter

from hrcam_monai.data.pictures import PictureError, black_and_white, is_picture
from hrcam_monai.data.reading import read_nifti, read_scan
from hrcam_monai.thresholds import evidence_range


def is_tissue(image: torch.Tensor) -> torch.Tensor:
    """Voxels that are not air: not 0 in a skull-stripped image, also where intensities are negative."""
    return image != 0


class LoadScand(MapTransform):
    """Read volumes with `read_scan`: MONAI's LoadImage, with one clear error for each thing that can be wrong.

    The path stays in `file`; in the metadata the subject takes its place, so that outputs are named by subject.

    Args:
        keys: entries that hold a path.
        channels: channels expected.
        allow_missing_keys: skip entries that are not there (a mask).
    """

    def __init__(self, keys: KeysCollection, channels: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d["file"] = str(d[key])
            d[key] = read_scan(d[key], self.channels)
            # savers name files by it; not .nii, or MONAI 1.6's Spacingd takes the `image_path` of MONAI Label for metadata
            d[key].meta["filename_or_obj"] = f"{d.get('subject', 'scan')}.scan"
        return d


class LoadMaskd(MapTransform):
    """Read lesion masks as 0/1 volumes [1, X, Y, Z]; where masks are asked for, a subject without one gets an empty one.

    Masks are asked for by the key: its path, or None for a subject without a mask. Training and inference have no such key, so
    that one preprocessing serves them and evaluation.

    Args:
        keys: entries that hold the path of a mask.
        image_key: the image, read already.

    Raises:
        ValueError: image and mask differ in shape or affine.
    """

    def __init__(self, keys: KeysCollection = "mask", image_key: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        for key in self.key_iterator(d):
            if d[key] is None:
                d[key] = MetaTensor(torch.zeros_like(image.as_tensor()), meta=dict(image.meta))
                continue
            volume = read_nifti(d[key], blank=True)
            if volume.shape[:3] != tuple(image.shape[1:]):
                raise ValueError(f"{d[key]}: mask is {volume.shape}, its image {tuple(image.shape[1:])}; use the image's grid.")
            if not np.allclose(volume.affine, np.asarray(image.affine), atol=1e-2):
                raise ValueError(f"{d[key]}: mask lies elsewhere than its image; resample it to the image's grid.")
            values = np.asarray(volume.dataobj).reshape(image.shape[1:])
            try:
                mask = black_and_white(values) if is_picture(d[key]) else (values > 0).astype(np.float32)
            except PictureError as error:
                raise ValueError(f"{d[key]}: {error}") from None
            d[key] = MetaTensor(torch.from_numpy(mask)[None], meta=dict(image.meta))
        return d


def slice_weights(image: MetaTensor, ranges: Sequence[Sequence[int]] | None = None, slice_axis: int = 2) -> torch.Tensor:
    """How much each slice of a preprocessed volume weighs when slices are drawn: its tissue, if it carries the label.

    Args:
        image: [C, X, Y, Z] on the network's grid, 0 in air, with its affine and the file's `original_affine`.
        ranges: [[first, last], ...] voxel indices, along the file's axis nearest to superior-inferior, of the slices
            that carry the label; None for all.
        slice_axis: spatial axis to slice along.

    Returns:
        [slices] non-negative; all tissue counts when no listed slice is left on the grid.
    """
    others = tuple(a for a in range(image.ndim) if a != slice_axis + 1)
    area = (image.as_tensor() != 0).float().sum(others)
    if not ranges:
        return area
    file_affine = np.asarray(image.meta["original_affine"], dtype=float)
    axis = int(np.argmax(nib.io_orientation(file_affine)[:, 0] == 2))
    centre = (np.array(image.shape[1:]) - 1) / 2.0
    points = np.repeat(centre[None], image.shape[slice_axis + 1], 0)
    points[:, slice_axis] = np.arange(image.shape[slice_axis + 1])
    to_file = np.linalg.inv(file_affine) @ np.asarray(image.affine, dtype=float)
    index = (points @ to_file[:3, :3].T + to_file[:3, 3])[:, axis].round()
    listed = np.any([(index >= first) & (index <= last) for first, last in ranges], axis=0)
    weights = area * torch.from_numpy(listed)
    return weights if bool(weights.sum() > 0) else area


class SliceWeightsd(Transform):
    """Set `slice_weights` of a volume from the manifest's `slices`; put it after the preprocessing.

    Args:
        image_key: the preprocessed image.
        slice_axis: spatial axis to slice along.
    """

    def __init__(self, image_key: str = "image", slice_axis: int = 2) -> None:
        self.image_key = image_key
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        d["slice_weights"] = slice_weights(d[self.image_key], d.pop("slices", None), self.slice_axis)
        return d


class RandSlicesd(Randomizable, MapTransform):
    """Draw slices of a volume at random: [C, X, Y, Z] gives a list of items with [C, X, Y], each with the label.

    Slices are drawn in proportion to `slice_weights` (see `SliceWeightsd`), so that slices of normal and abnormal
    subjects are equally likely to be large or small.

    Args:
        keys: volumes to slice.
        num_samples: slices drawn of each volume.
        slice_axis: spatial axis to slice along.
        allow_missing_keys: skip entries that are not there (seeds).
    """

    def __init__(self, keys: KeysCollection, num_samples: int = 1, slice_axis: int = 2, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_samples = num_samples
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        weights = np.asarray(data["slice_weights"], dtype=float)
        drawn = self.R.choice(len(weights), size=self.num_samples, p=weights / weights.sum())
        kept: dict[Hashable, Any] = {k: v for k, v in data.items() if k in ("label", "subject")}
        items: list[dict[Hashable, Any]] = []
        for index in drawn:
            item = dict(kept)
            for key in self.key_iterator(dict(data)):
                item[key] = torch.as_tensor(data[key]).as_subclass(torch.Tensor).select(self.slice_axis + 1, int(index)).clone()
            items.append(item)
        return items


class RandFoldsd(RandomizableTransform, MapTransform):
    """Draw thin folds into tissue, mostly dark, in patches, as sulci and vessels differ between people.

    Networks trained on few anatomies take the folds of others for small lesions; folds at random places, in images of
    every class, teach them that thin dark lines are no finding. A fold is where smooth noise crosses zero.

    Args:
        keys: images [C, *spatial], 0 in air, with intensities of standard deviation 1.
        prob: share of the images that get folds.
        depth: the strongest change of intensity.
        dark: share of the images whose folds are dark; the others' are bright.
        scale: range of the distance between folds, voxels.
        width: range of their width, as a share of that distance.
        patch: size of the patches with folds, voxels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.8,
        depth: float = 1.6,
        dark: float = 0.8,
        scale: tuple[float, float] = (2.0, 4.0),
        width: tuple[float, float] = (0.12, 0.37),
        patch: float = 9.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.depth, self.dark, self.scale, self.width, self.patch = depth, dark, scale, width, patch

    def _noise(self, shape: Sequence[int], sigma: float) -> np.ndarray:
        """Smooth noise of standard deviation 1."""
        noise = gaussian_filter(self.R.standard_normal(shape).astype(np.float32), sigma)
        return noise / noise.std()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        sign = -1 if self.R.random() < self.dark else 1
        depth = sign * self.R.uniform(0, self.depth)
        scale, width = self.R.uniform(*self.scale), self.R.uniform(*self.width)
        shape = d[next(iter(self.key_iterator(d)))].shape[1:]
        folds = np.exp(-((self._noise(shape, scale) / width) ** 2) / 2)
        patches = 1 / (1 + np.exp(-3 * (self._noise(shape, self.patch) - 0.3)))
        change = torch.from_numpy(depth * folds * patches)
        for key in self.key_iterator(d):
            d[key] = d[key] + (change * (d[key] != 0)).to(d[key].dtype)
        return d


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

    Raises:
        ValueError: a class that is none of these; logits that are not finite.
    """

    def __init__(
        self,
        map_class: str | int = "predicted",
        image_key: str = "image",
        classes: Sequence[str] = (),
        asked: str | int | Sequence[str | int] | None = None,
    ) -> None:
        self.classes = list(classes)
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
            choice = self.asked if "image_path" in d else self.map_class  # MONAI Label puts `image_path` there
            index = int({"predicted": d["predicted"], "label": d.get("label")}.get(choice, choice))
            image = d[self.image_key]
            chosen = torch.as_tensor(pred["maps"])[index : index + 1].float()
            d["map"] = MetaTensor(chosen, meta=dict(image.meta), applied_operations=image.applied_operations)
            d["map_class"] = index
        return d


class LabelMapd(Transform):
    """Threshold the map into a label map, whose value is the index of the map's class. On the network's own grid.

    Voxels of the head count from `threshold` of the way between the map's median and its maximum on: what stands out from
    the rest, whatever the level of the whole. The first class (index 0) is no finding, so its label map is empty, unless
    told otherwise.

    Args:
        threshold: share of the way, in (0, 1).
        first_is_finding: the first class is a finding like the others; values are then the class's index plus one.
        map_key: the map.
        image_key: the image; its voxels of 0 are air.
        output_key: where the label map goes.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        map_key: str = "map",
        image_key: str = "image",
        output_key: str = "label_map",
        first_is_finding: bool = False,
    ) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}; it must lie between 0 and 1.")
        self.threshold = threshold
        self.map_key = map_key
        self.image_key = image_key
        self.output_key = output_key
        self.first = int(first_is_finding)  # the value of the first class

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        heat, head = d[self.map_key], is_tissue(d[self.image_key].as_tensor()).any(0, keepdim=True).to(d[self.map_key].device)
        values = heat.as_tensor()
        of = evidence_range(values, head, self.threshold)
        found = head & (values >= of.threshold) & (not of.empty)
        label_map = (found * (int(d["map_class"]) + self.first)).to(torch.uint8)
        d[self.output_key] = MetaTensor(label_map, meta=dict(heat.meta), applied_operations=heat.applied_operations)
        return d

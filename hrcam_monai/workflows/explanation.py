"""Class and map of one image in one call: what a notebook wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from hrcam_monai.data.failures import bottom
from hrcam_monai.data.pictures import AFFINE, write_picture
from hrcam_monai.data.reading import check_values
from hrcam_monai.data.writing import write_volume
from hrcam_monai.figures import map_panel
from hrcam_monai.input_check import CHECK, CheckInputd, is_unlike
from hrcam_monai.input_check.check import NOT_KNOWN
from hrcam_monai.networks import HRCAMNet
from hrcam_monai.networks.modes import evaluating
from hrcam_monai.transforms import split_reading
from hrcam_monai.transforms.inverting import InvertInSinglePrecisiond
from hrcam_monai.transforms.thresholds import evidence_range
from hrcam_monai.utils.files import atomic_write
from hrcam_monai.workflows.model_folder import find_bundle, fitting_parser, weights_file
from hrcam_monai.workflows.model_settings import load_model

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Explanation", "explain"]

Source = str | Path | np.ndarray | Tensor


@dataclass(frozen=True)
class Explanation:
    """What a network says of an image, and where.

    Attributes:
        classes: their names.
        logits: [K].
        probabilities: [K].
        maps: [K, *spatial], signed, on the image's own grid, with its affine; on the network's grid a map's pooling is the
            class's logit.
        image: [C, *spatial].
        threshold, scale: from where on a map counts in pictures (`hrcam_monai.transforms.thresholds.threshold_between`).
        input_check: "as trained", or in what the image is unlike those that the network was trained on; "not known" where
            nothing is kept of these.
    """

    classes: tuple[str, ...]
    logits: Tensor
    probabilities: Tensor
    maps: MetaTensor
    image: MetaTensor
    threshold: float = 0.5
    scale: str = "evidence"
    input_check: str = NOT_KNOWN

    @property
    def predicted(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    def map(self, name: str | None = None) -> MetaTensor:
        """The map [*spatial] of a class, the predicted one by default.

        Raises:
            ValueError: no such class.
        """
        if name is not None and name not in self.classes:
            raise ValueError(f"no class '{name}'; there are {', '.join(self.classes)}.")
        heat: Any = self.maps[self.classes.index(name or self.predicted)]
        return heat

    def save(self, folder: str | Path, stem: str = "image") -> list[Path]:
        """Write the map of every class: TIFF on a picture's pixels, NIfTI on a scan's grid; and a panel of the predicted one.

        Returns:
            the files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        picture = self.maps.ndim == 4 and self.maps.shape[3] == 1 and np.allclose(self.maps.affine, AFFINE)
        files = []
        for name, heat in zip(self.classes, self.maps, strict=True):
            file = folder / f"{stem}_{name}{'.tif' if picture else '.nii.gz'}"
            values = heat.as_tensor().numpy()
            if picture:
                write_picture(values, file)
            else:
                write_volume(values, np.asarray(self.maps.affine, dtype=float), file)
            files.append(file)
        panel = folder / f"{stem}_{self.predicted}.png"
        with atomic_write(panel) as partial:
            self.show().save(partial)
        return [*files, panel]

    def show(self, name: str | None = None) -> Image:
        """The image without and with the map of a class (the predicted one), as a picture that notebooks display."""
        name = name or self.predicted
        heat, image = self.map(name).as_tensor().numpy(), self.image.as_tensor()[0].numpy()
        if heat.ndim == 3 and self.maps.affine[1, 1] < 0:  # rows downwards, as pictures have them
            heat, image = heat[:, ::-1], image[:, ::-1]
        title = f"{name}, p {float(self.probabilities[self.classes.index(name)]):.2f}"
        if is_unlike({CHECK: self.input_check}):
            title += ", not to be trusted"
        values, head = (torch.from_numpy(np.ascontiguousarray(a)) for a in (heat, image != 0))
        of = evidence_range(values, head, self.threshold, self.scale)
        return map_panel(image, heat, title=title, floor=of.middle, shown=of.share)


def explain(
    model: HRCAMNet | str | Path,
    image: Source,
    *,
    classes: Sequence[str] | None = None,
    overlays: Sequence[str] | None = None,
    bundle_root: str | Path | None = None,
    device: str | torch.device | None = None,
) -> Explanation:
    """Class and maps of one image.

    Args:
        model: a model folder or its weights, which prepare the image as it was in training and bring the maps back onto its
            own grid; or an `HRCAMNet`, which takes an array of its own grid as it is.
        image: a file (NIfTI, NRRD, MHA, a DICOM series' folder, PNG, JPEG, TIFF), or an array. For an `HRCAMNet` [C, *spatial].
            For a model folder [X, Y, Z] (a MetaTensor brings its affine), or the pixels [rows, columns] of a picture.
        classes: names for an `HRCAMNet`; "0", "1", ... by default. A model folder knows them.
        overlays: configs that a model folder was trained with, where its record is not to tell.
        bundle_root: the bundle with the configs; found by default.
        device: where a model folder runs; a GPU where there is one, by default. An `HRCAMNet` runs where it is.

    Raises:
        FileNotFoundError, ModelSettingsError: see `hrcam_monai.workflows.model_folder`.
        ValueError: an array of other axes; a volume where single slices are read; as many names as there are not classes.
        ScanError: the file, or the array, cannot be used.

    Example:
        >>> found = explain("bundle/models/brain_tumor_t1ce", "slice.png")  # doctest: +SKIP
        >>> found.predicted, float(found.probabilities.max())  # doctest: +SKIP
        ('meningioma', 0.97)
        >>> from hrcam_monai.networks import StageCNN
        >>> explain(HRCAMNet(StageCNN(), num_classes=2), torch.rand(1, 32, 32)).maps.shape
        torch.Size([2, 32, 32])
    """
    if isinstance(model, HRCAMNet):
        return _by_network(model, image, classes)
    weights = weights_file(model)
    parser = fitting_parser(weights, Path(bundle_root) if bundle_root else find_bundle(weights), overlays)
    if device is not None:
        parser["device"] = torch.device(device)
    device = parser.get_parsed_content("device")
    network = parser.get_parsed_content("network_def").to(device)
    load_model(network, weights, parser.get_parsed_content("model_settings"))
    load, steps = split_reading(parser.get_parsed_content("preprocessing"))
    scan = load({"image": str(image)}) if isinstance(image, str | Path) else {"image": _volume(image)}
    try:
        prepared: Any = steps(scan)
    except RuntimeError as error:  # of MONAI's Compose, round what is wrong
        raise bottom(error) from None
    x = prepared["image"]
    with evaluating(network), torch.no_grad():
        out = parser.get_parsed_content("inferer")(x.as_tensor()[None].to(device), network)
    heat = MetaTensor(out["maps"][0].float().cpu(), meta=dict(x.meta), applied_operations=x.applied_operations)
    back = InvertInSinglePrecisiond("maps", steps, orig_keys="image", nearest_interp=False, to_tensor=True)
    maps = back({**prepared, "maps": heat})["maps"]
    check = CheckInputd(weights, network, slice_axis=parser.get_parsed_content("slice_axis"))({"image": x.to(device)})[CHECK]
    named, threshold, scale = (parser.get_parsed_content(key) for key in ("classes", "map_threshold", "map_scale"))
    return _explanation(named, out["logits"][0], maps, scan["image"], threshold, scale, check)


def _by_network(network: HRCAMNet, image: Source, classes: Sequence[str] | None) -> Explanation:
    if isinstance(image, str | Path):
        raise ValueError("an HRCAMNet does not know how files are prepared; give an array [C, *spatial], or a model folder.")
    x = image if isinstance(image, MetaTensor) else MetaTensor(torch.as_tensor(image))
    if x.ndim != network.spatial_dims + 1:
        raise ValueError(f"image is {tuple(x.shape)}; this network takes [C, {', '.join('XYZ'[: network.spatial_dims])}].")
    check_values(x, "image", blank=True)
    names = [str(i) for i in range(network.head.num_classes)] if classes is None else classes
    if len(names) != network.head.num_classes:
        raise ValueError(f"{len(names)} names for {network.head.num_classes} classes.")
    with evaluating(network), torch.no_grad():
        logits, maps = network.class_maps(x.as_tensor()[None].to(next(network.parameters())))
    return _explanation(names, logits[0], MetaTensor(maps[0].float().cpu(), affine=x.affine), x)


def _explanation(
    classes: Sequence[str],
    logits: Tensor,
    maps: MetaTensor,
    image: MetaTensor,
    threshold: float = 0.5,
    scale: str = "evidence",
    input_check: str = NOT_KNOWN,
) -> Explanation:
    logits, shown = logits.float().cpu(), MetaTensor(image.as_tensor().cpu(), affine=image.affine)  # pictures are drawn on a CPU
    return Explanation(tuple(classes), logits, logits.softmax(0), maps, shown, threshold, scale, input_check)


def _volume(image: Any) -> MetaTensor:
    """An array as a file of it would be read: [1, X, Y, Z]."""
    # a copy, for read-only arrays; Pillow's pictures are arrays, too
    values = torch.as_tensor(image if isinstance(image, Tensor) else np.array(image)).float()
    if values.ndim not in (2, 3):
        raise ValueError(f"image is {tuple(values.shape)}; give [X, Y, Z], or the pixels [rows, columns] of a picture.")
    check_values(values, "image")
    if values.ndim == 2:  # a picture's rows and columns
        return MetaTensor(values.T[None, ..., None].contiguous(), affine=torch.from_numpy(AFFINE))
    affine = image.affine if isinstance(image, MetaTensor) else torch.eye(4, dtype=torch.float64)
    return MetaTensor(values.as_subclass(Tensor)[None], affine=affine)

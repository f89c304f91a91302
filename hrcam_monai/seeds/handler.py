"""An Ignite handler that gives each training image its seeds, from the maps of the plain CNN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from torch import Tensor, nn
from tqdm import tqdm

from hrcam_monai.data.cohort import CachedCohort
from hrcam_monai.inferers import mirrored_axes
from hrcam_monai.networks import Tap, locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds.layer_cam import layer_cam, scaled
from hrcam_monai.seeds.novelty import novelty
from hrcam_monai.utils.distributed import is_main_process, wait
from hrcam_monai.utils.files import write_tensors

__all__ = ["SEEDS", "SeedHandler", "image_and_target"]

SEEDS = "seeds"  # key of an item: how likely each voxel shows the finding that its image is labelled with
BATCH = 32  # images, or slices, at once


class SeedHandler:
    """Makes the seeds that `MapLoss(seeds=...)` teaches, from the image labels alone.

    A seed is a map in [0, 1], one a training image, of the finding that the image is labelled with.

    Before the first epoch they are made once, of the mean LayerCAM of the plain CNN, whose fine levels hold outlines that no
    class map has learnt yet: read through flips, weighted by what the image shows that other people's do not (`novelty`), moved
    along the image's edges and scaled to a maximum of 1, since a labelled finding must be somewhere. Images of the reference
    class have none. Seeds are kept in the run's folder, so that a resumed training goes on with the same.

    Args:
        dataset: the training images; each cached item gets `seeds` on its image's grid.
        classifier: the plain CNN, trained; the network's backbone.
        run_dir: folder of `seeds.pt`.
        reference: index of the class whose images have no seeds; None where every class is a finding.
        flip_axes: spatial axes that images are mirrored along to be read.
        slice_axis: of volumes that a 2-D network runs along; None where it takes the image whole.
        power: of the LayerCAM maps, whose background is not zero: what is weak in them counts less.
        novelty_power: of the novelty that weighs a map; 0 leaves it as it is. Where every class is a finding, no image shows
            what is not one, and a map without it spreads over common anatomy.

    Example:
        >>> SeedHandler(dataset, net.backbone, "runs/train", reference=0, flip_axes=[0]).attach(trainer)  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset: CachedCohort,
        classifier: nn.Module,
        run_dir: str | Path,
        *,
        reference: int | None = None,
        flip_axes: Sequence[int] = (),
        slice_axis: int | None = None,
        power: float = 2.0,
        novelty_power: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.classifier = classifier
        self.path = Path(run_dir) / "seeds.pt"
        self.reference = reference
        self.mirrors = [[], *mirrored_axes(flip_axes)]
        self.slice_axis = slice_axis
        self.power = power
        self.novelty_power = novelty_power
        self.taps: list[Tap] = []  # of the classifier, looked for once

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.give)

    def give(self, engine: Engine) -> None:
        """Give the dataset its seeds; those of the run that is resumed, if it is."""
        if engine.state.epoch and self.path.is_file():
            seeds = torch.load(self.path, weights_only=True)
        else:
            seeds = list(self._made())
            if is_main_process():
                write_tensors(seeds, self.path)
            wait()
        for item, seed in zip(self.dataset.items(), seeds, strict=True):
            item[SEEDS] = MetaTensor(seed, meta=dict(item["image"].meta))

    def _made(self) -> Iterator[Tensor]:
        """The seeds [1, *spatial] of each image, half precision."""
        device = next(self.classifier.parameters()).device
        weights = self._novelty()
        for item, weight in zip(tqdm(self.dataset.items(), desc="seeds", unit="image", leave=False), weights, strict=True):
            image, label = item["image"].as_tensor(), int(item["label"])
            if label == self.reference:
                yield torch.zeros_like(image[:1], dtype=torch.float16)
                continue
            parts = []
            for part, weighs in zip(self._slices(image).split(BATCH), weight.split(BATCH), strict=True):
                part, labels = part.to(device), torch.full([len(part)], label, device=device)
                found = torch.stack([self._maps(part.flip(axes), labels).flip(axes) for axes in self.mirrors]).mean(dim=0)
                parts.append(along_edges(found * weighs.to(device), part).cpu())
            seeds = torch.cat(parts)
            seeds = seeds[0] if self.slice_axis is None else seeds.movedim(0, self.slice_axis + 1)
            yield scaled(seeds[None])[0].half()

    def _slices(self, image: Tensor) -> Tensor:
        """[C, *spatial] -> [S, C, *], what the network sees at once."""
        return image[None] if self.slice_axis is None else image.movedim(self.slice_axis + 1, 0)

    def _novelty(self) -> list[Tensor]:
        """Of each image the weights of its slices, [S, 1, *]; where novelty does not count a one a slice."""
        slices = [self._slices(item["image"].as_tensor()) for item in self.dataset.items()]
        if not self.novelty_power:
            return [own.new_ones([len(own)] + [1] * (own.ndim - 1)) for own in slices]
        shapes = sorted({tuple(own.shape[2:]) for own in slices})
        if len(shapes) > 1:
            raise ValueError(
                f"seed_novelty needs images of one shape; they are {shapes}. Set roi_size and resample, or seed_novelty=0."
            )
        people = [str(item["subject"]) for item, own in zip(self.dataset.items(), slices, strict=True) for _ in own]
        return list((novelty(torch.cat(slices), people) ** self.novelty_power).split([len(own) for own in slices]))

    def _maps(self, images: Tensor, labels: Tensor) -> Tensor:
        self.taps = self.taps or locate_taps(self.classifier, (1, *images.shape[1:]))
        return layer_cam(self.classifier, images, labels, self.taps) ** self.power


def image_and_target(batch: Any, device: Any = None, non_blocking: bool = False, **_: Any) -> tuple[Any, Any]:
    """A batch for MONAI's trainer (`prepare_batch`): the image; the label, with the seeds where there are some."""
    image = batch["image"].to(device=device, non_blocking=non_blocking)
    target = {k: torch.as_tensor(batch[k]).to(device=device, non_blocking=non_blocking) for k in ("label", SEEDS) if k in batch}
    return image, target if SEEDS in target else target["label"]

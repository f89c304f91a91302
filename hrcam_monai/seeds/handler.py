"""An Ignite handler that gives each training image its seeds: of the plain CNN's maps, then of the network's own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from torch import Tensor
from tqdm import tqdm

from hrcam_monai.data.cohort import CachedCohort
from hrcam_monai.inferers import mirrored_axes
from hrcam_monai.networks import HRCAMNet, Tap, locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds.agreement import agreement
from hrcam_monai.seeds.layer_cam import middle_features, mirrored_layer_cam, scaled
from hrcam_monai.seeds.novelty import novelty
from hrcam_monai.seeds.own_maps import own_maps
from hrcam_monai.seeds.rounds import epochs_of_round
from hrcam_monai.transforms.slices import with_neighbours
from hrcam_monai.utils.distributed import is_main_process, wait
from hrcam_monai.utils.files import write_tensors

__all__ = ["SEEDS", "SeedHandler", "image_and_target"]

SEEDS = "seeds"  # key of an item: how likely each voxel shows the finding that its image is labelled with
BATCH = 32  # images, or slices, at once


class SeedHandler:
    """Makes the seeds that `MapLoss(seeds=...)` teaches, from the image labels alone.

    A seed is a map in [0, 1], one a training image, of the finding that the image is labelled with.

    Before the first epoch they are made of the mean LayerCAM of the plain CNN, whose fine levels hold outlines that no class map
    has learnt yet; at the start of each further round of the network's own class maps (`own_maps`). Both are read through flips,
    weighted by what the image shows that other people's do not (`novelty`) and by what the person's own images agree on
    (`agreement`), moved along the image's edges and scaled to a maximum of 1, since a labelled finding must be somewhere. Images
    of the reference class have none. A round's seeds are kept in the run's folder, so that a resumed training goes on with the
    same.

    Args:
        dataset: the training images; each cached item gets `seeds` on its image's grid.
        network: its backbone is the plain CNN, trained.
        run_dir: folder of `seeds.pt`.
        rounds: parts of the training, of equal length, that begin with new seeds.
        reference: index of the class whose images have no seeds; None where every class is a finding.
        flip_axes: spatial axes that images are mirrored along to be read.
        slice_axis: of volumes that a 2-D network runs along; None where it takes the image whole.
        neighbours: of each slice, that the network is shown with it.
        power: of the maps, whose background is not zero: what is weak in them counts less.
        novelty_power: of the novelty that weighs a map; 0 leaves it as it is. Where every class is a finding, no image shows
            what is not one, and a map without it spreads over common anatomy.
        agreement_power: of the agreement that weighs a map; 0 leaves it as it is. For people with several images, or slices.

    Example:
        >>> SeedHandler(dataset, net, "runs/train", reference=0, flip_axes=[0]).attach(trainer)  # doctest: +SKIP
    """

    def __init__(
        self,
        dataset: CachedCohort,
        network: HRCAMNet,
        run_dir: str | Path,
        *,
        rounds: int = 1,
        reference: int | None = None,
        flip_axes: Sequence[int] = (),
        slice_axis: int | None = None,
        neighbours: Sequence[int] = (),
        power: float = 2.0,
        novelty_power: float = 0.0,
        agreement_power: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.network = network
        self.path = Path(run_dir) / "seeds.pt"
        self.rounds = rounds
        self.reference = reference
        self.mirrors = [[], *mirrored_axes(flip_axes)]
        self.slice_axis = slice_axis
        self.neighbours = list(neighbours)
        self.power = power
        self.novelty_power = novelty_power
        self.agreement_power = agreement_power
        self.taps: list[Tap] = []  # of the backbone, looked for once
        self.grey: Tensor | None = None  # novelty of the images themselves, the same in each round

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.give)

    def give(self, engine: Engine) -> None:
        """Give the dataset its seeds where a round begins; those of the run that is resumed, if it is."""
        number, into = divmod(engine.state.epoch - 1, epochs_of_round(engine.state.max_epochs or 1, self.rounds))
        if into and all(SEEDS in item for item in self.dataset.items()):
            return
        if into and self.path.is_file():
            seeds = torch.load(self.path, weights_only=True)
        else:
            seeds = list(self._made(number))
            if is_main_process():
                write_tensors(seeds, self.path)
            wait()
        for item, seed in zip(self.dataset.items(), seeds, strict=True):
            item[SEEDS] = MetaTensor(seed, meta=dict(item["image"].meta))

    def _made(self, number: int) -> Iterator[Tensor]:
        """The seeds [1, *spatial] of each image in a round, counted from 0; half precision."""
        items = self.dataset.items()
        slices = [self._slices(item["image"].as_tensor()) for item in items]
        people = [str(item["subject"]) for item in items]
        if self.novelty_power or self.agreement_power:
            _see_one_shape(slices)
        found: Iterable[Tensor] = self._found(slices, number)
        if self.novelty_power:
            found = map(torch.mul, found, self._novelty(slices, people))
        if self.agreement_power:
            found = self._agreed(found, slices, people)
        for own, images in zip(found, slices, strict=True):
            if own.any():
                parts = zip(own.split(BATCH), images.split(BATCH), strict=True)
                own = torch.cat([self._along_edges(m, image) for m, image in parts])
            own = own[0] if self.slice_axis is None else own.movedim(0, self.slice_axis + 1)
            yield scaled(own[None])[0].half()

    def _along_edges(self, maps: Tensor, images: Tensor) -> Tensor:
        return along_edges(maps.to(self.device), images.to(self.device), beside=len(self.neighbours)).cpu()

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _slices(self, image: Tensor) -> Tensor:
        """[C, *spatial] -> [S, C, *], what the network sees at once."""
        if self.slice_axis is None:
            return image[None]
        return with_neighbours(image, self.neighbours, slice_axis=self.slice_axis).movedim(self.slice_axis + 1, 0)

    def _found(self, slices: Sequence[Tensor], number: int) -> Iterator[Tensor]:
        """A round's maps [S, 1, *] of what each image is labelled with; of the reference class empty ones."""
        for item, own in zip(tqdm(self.dataset.items(), desc="seeds", unit="image", leave=False), slices, strict=True):
            label = int(item["label"])
            yield torch.zeros_like(own[:, :1]) if label == self.reference else self._maps(own, label, number)

    def _maps(self, images: Tensor, label: int, number: int) -> Tensor:
        if number:
            read = partial(own_maps, self.network)
        else:
            read = partial(mirrored_layer_cam, self.network.backbone, taps=self._levels(images))
        found = []
        for part in images.split(BATCH):
            labels = torch.full([len(part)], label, device=self.device)
            found.append(read(part.to(self.device), labels, mirrors=self.mirrors, power=self.power).cpu())
        return torch.cat(found)

    def _novelty(self, slices: Sequence[Tensor], people: Sequence[str]) -> Sequence[Tensor]:
        """Of each image the weights of its slices, [S, 1, *]."""
        images = torch.cat(tuple(slices))
        taps = self._levels(images)
        features = [middle_features(self.network.backbone, part.to(self.device), taps).cpu() for part in images.split(BATCH)]
        names = _of_slices(people, slices)
        self.grey = novelty(images, names) if self.grey is None else self.grey
        found = novelty(images, names, features=torch.cat(features), grey=self.grey)
        return (found**self.novelty_power).split([len(own) for own in slices])

    def _agreed(self, found: Iterable[Tensor], slices: Sequence[Tensor], people: Sequence[str]) -> Sequence[Tensor]:
        """The maps [S, 1, *] of each image, weighted; an image, not each slice, is scaled to a maximum of 1 before."""
        maps = torch.cat([scaled(own[None])[0] for own in found])
        kinds = [(person, int(item["label"])) for person, item in zip(people, self.dataset.items(), strict=True)]
        agreed = agreement(maps, torch.cat(tuple(slices)), _of_slices(kinds, slices))  # of one finding alone
        return (maps * agreed**self.agreement_power).split([len(own) for own in slices])

    def _levels(self, images: Tensor) -> list[Tap]:
        self.taps = self.taps or locate_taps(self.network.backbone, (1, *images.shape[1:]))
        return self.taps


def _of_slices(names: Sequence[Hashable], slices: Sequence[Tensor]) -> list[Hashable]:
    """The name of each image, for each of its slices."""
    return [name for name, own in zip(names, slices, strict=True) for _ in own]


def _see_one_shape(slices: Sequence[Tensor]) -> None:
    shapes = sorted({tuple(own.shape[2:]) for own in slices})
    if len(shapes) > 1:
        raise ValueError(
            f"seed_novelty and seed_agreement need images of one shape; they are {shapes}. "
            "Set roi_size and resample, or both to 0."
        )


def image_and_target(batch: Any, device: Any = None, non_blocking: bool = False, **_: Any) -> tuple[Any, Any]:
    """A batch for MONAI's trainer (`prepare_batch`): the image; the label, with the seeds where there are some."""
    image = batch["image"].to(device=device, non_blocking=non_blocking)
    target = {k: torch.as_tensor(batch[k]).to(device=device, non_blocking=non_blocking) for k in ("label", SEEDS) if k in batch}
    return image, target if SEEDS in target else target["label"]

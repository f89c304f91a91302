"""Seeds of images that no epoch repeats, made of each batch as it comes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from hrcam_monai.networks import HRCAMNet, Tap, locate_taps
from hrcam_monai.networks.edges import along_edges
from hrcam_monai.seeds.handler import SEEDS, image_and_target
from hrcam_monai.seeds.layer_cam import mirrored_layer_cam, scaled
from hrcam_monai.utils.distributed import is_main_process, wait
from hrcam_monai.weights import load_weights, save_weights

__all__ = ["BatchSeeds"]


class BatchSeeds:
    """Gives a trainer batches with seeds (`prepare_batch`), by the plain CNN as it was before its maps were trained.

    `SeedHandler` makes the seeds of images that stay as they are, once, and weighs them by what the others show. Where lesions
    are drawn anew whenever a head is read, an image is seen once, and its seeds are made then: the mean LayerCAM, to a power,
    along the image's edges, and scaled to a maximum of 1. Images of the reference class have none.

    The plain CNN is kept in the run's folder, so that a resumed training goes on with the same. Attach it to the trainer, too.

    Args:
        network: its backbone is the plain CNN, trained.
        run_dir: folder of `seeds_cnn.pt`.
        weight: of the seeds in the loss; with 0 batches have none.
        reference: index of the class whose images have no seeds; None where every class is a finding.
        neighbours: of each slice, that the network is shown with it; edges are those of the slice itself.
        power: of the maps, whose background is not zero.

    Example:
        >>> seeds = BatchSeeds(net, "runs/train", weight=4.0, reference=0)  # doctest: +SKIP
        >>> trainer = SupervisedTrainer(prepare_batch=seeds, train_handlers=[seeds], ...)  # doctest: +SKIP
    """

    def __init__(
        self,
        network: HRCAMNet,
        run_dir: str | Path,
        *,
        weight: float,
        reference: int | None = None,
        neighbours: Sequence[int] = (),
        power: float = 2.0,
    ) -> None:
        self.network, self.path, self.weight = network, Path(run_dir) / "seeds_cnn.pt", weight
        self.reference, self.neighbours, self.power = reference, list(neighbours), power
        self.teacher: nn.Module | None = None
        self.taps: list[Tap] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.keep)

    def keep(self, engine: Engine) -> None:
        """Keep the plain CNN where the training of maps begins; take the one that was kept where it goes on."""
        if not self.weight:
            return
        self.teacher = copy.deepcopy(self.network.backbone).requires_grad_(False)
        if engine.state.epoch:
            load_weights(self.teacher, self.path)
        elif is_main_process():
            save_weights(self.teacher, self.path)
        wait()

    def __call__(self, batch: Any, device: Any = None, non_blocking: bool = False, **_: Any) -> tuple[Tensor, Any]:
        """A batch with `image` [B, C, *spatial] and `label` -> the image; the label, with the seeds [B, 1, *spatial]."""
        image, label = image_and_target(batch, device, non_blocking)
        if self.teacher is None:
            return image, label
        label = label["label"] if isinstance(label, Mapping) else label
        return image, {"label": label, SEEDS: self._made(image, label.long().reshape(-1))}

    def _made(self, image: Tensor, label: Tensor) -> Tensor:
        assert self.teacher is not None  # of `keep`
        seeds = torch.zeros_like(image[:, :1])
        found = label != (-1 if self.reference is None else self.reference)
        if found.any():
            self.taps = self.taps or locate_taps(self.teacher, (1, *image.shape[1:]))
            own = image[found]
            maps = mirrored_layer_cam(self.teacher, own, label[found], self.taps, power=self.power)
            seeds[found] = scaled(along_edges(maps, own, beside=len(self.neighbours))).to(seeds.dtype)
        return seeds

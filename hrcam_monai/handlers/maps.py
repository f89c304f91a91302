"""Class maps of chosen samples, written while an engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor, list_data_collate
from monai.inferers import Inferer

from hrcam_monai.data.writing import write_volume
from hrcam_monai.figures import map_panel
from hrcam_monai.networks.modes import evaluating
from hrcam_monai.utils.files import atomic_write

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["HRCAMHandler"]


class HRCAMHandler:
    """Writes class maps of chosen samples while a trainer or evaluator runs: TensorBoard, NIfTI and PNG.

    Names hold the epoch and the subject: `epoch003_sub-0001.png`. Maps are computed afresh in evaluation mode, without
    gradient, of samples that come by in the chosen epochs.

    Args:
        output_dir: folder of the NIfTI and PNG files.
        inferer: gives the maps; by default the engine's own.
        subjects: names of the samples; by default the first `count` that come by.
        count: how many samples an epoch.
        interval: every how many epochs.
        class_idx: class shown; None for the predicted one.
        writer: TensorBoard `SummaryWriter`, or None.
        nifti: write NIfTI files.
        png: write PNG files.

    Example:
        >>> HRCAMHandler("runs/maps", count=2).attach(evaluator)  # doctest: +SKIP
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        inferer: Inferer | None = None,
        subjects: Sequence[str] | None = None,
        count: int = 4,
        interval: int = 1,
        class_idx: int | None = None,
        writer: SummaryWriter | None = None,
        nifti: bool = True,
        png: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.inferer = inferer
        self.subjects = None if subjects is None else set(subjects)
        self.count = count
        self.interval = interval
        self.class_idx = class_idx
        self.writer = writer
        self.nifti = nifti
        self.png = png
        self.done: set[str] = set()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)

    def start(self, _engine: Engine) -> None:
        self.done = set()

    def write(self, engine: Engine) -> None:
        """Write the chosen samples of this batch."""
        batch: Any = engine.state.batch
        if isinstance(batch, list):  # the engine has taken the batch apart into subjects
            batch = list_data_collate(batch)
        if (engine.state.epoch - 1) % self.interval or "image" not in batch or len(self.done) >= self.count:
            return
        images: Any = batch["image"]
        names = [str(s) for s in batch.get("subject", [f"sample{i}" for i in range(len(images))])]
        chosen = [i for i, n in enumerate(names) if (self.subjects is None or n in self.subjects) and n not in self.done]
        chosen = [i for i in chosen if names.index(names[i]) == i][: self.count - len(self.done)]
        if not chosen:
            return
        network: Any = engine.network  # type: ignore[attr-defined]
        with evaluating(network):
            inferer = self.inferer or engine.inferer  # type: ignore[attr-defined]
            out = inferer(images[chosen].to(engine.state.device), network)  # type: ignore[attr-defined]
        if "maps" not in out:
            return
        for i, logits, maps in zip(chosen, out["logits"], out["maps"], strict=True):
            self.done.add(names[i])
            index = int(logits.argmax()) if self.class_idx is None else self.class_idx
            self._write_one(images[i], maps[index].float().cpu().numpy(), names[i], index, engine.state.epoch)

    def _write_one(self, image: torch.Tensor, heat: np.ndarray, name: str, index: int, epoch: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = f"epoch{epoch:03d}_{name}"
        if self.nifti:
            affine = np.asarray(image.affine) if isinstance(image, MetaTensor) and heat.ndim == 3 else np.eye(4)
            write_volume(heat.astype(np.float32), affine, self.folder / f"{stem}.nii.gz")
        panel = map_panel(image[0].float().cpu().numpy(), heat, title=f"{name}, class {index}, epoch {epoch}")
        if self.png:
            with atomic_write(self.folder / f"{stem}.png") as partial:
                panel.save(partial)
        if self.writer is not None:
            self.writer.add_image(f"maps/{name}", np.asarray(panel), epoch, dataformats="HWC")

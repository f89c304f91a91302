"""The steps of a training run."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.handlers import Checkpoint
from monai.engines import SupervisedTrainer
from monai.inferers import Inferer
from torch import nn

from hrcam_monai.handlers import WholeCheckpointSaver
from hrcam_monai.utils.distributed import gather, is_main_process, wait
from hrcam_monai.weights import save_weights

__all__ = ["calibrate", "last_checkpoint", "run_stage"]

logger = logging.getLogger(__name__)


def last_checkpoint(run_dir: str | Path, prefix: str) -> Path | None:
    """The newest whole checkpoint that CheckpointSaver left of a stage, or None; a kill may have cut one short.

    Example:
        >>> last_checkpoint("no/such/folder", "train")
    """
    found = [p for p in Path(run_dir).glob(f"{prefix}_checkpoint_epoch=*.pt") if zipfile.is_zipfile(p)]  # as torch.save writes
    return max(found, key=lambda p: p.stat().st_mtime) if found else None


def run_stage(
    trainer: SupervisedTrainer,
    state: dict[str, Any],
    run_dir: str | Path,
    name: str,
    *,
    resume: bool = False,
    weights: str | Path | None = None,
) -> None:
    """Run one stage of training, or the rest of it; the checkpoints of the last two epochs are kept.

    Args:
        trainer: of the stage.
        state: what a checkpoint holds beside the trainer: network, optimizer, lr_scheduler.
        run_dir: where checkpoints are.
        name: their prefix.
        resume: go on from the newest checkpoint; a stage that is complete is not run again.
        weights: where the network's weights after this stage are kept too, unless it has no epoch.
    """
    state = {**state, "trainer": trainer}
    epochs = trainer.state.max_epochs or 0
    checkpoint = last_checkpoint(run_dir, name) if resume else None
    if checkpoint is not None:
        logger.info("%s: resuming from %s", name, checkpoint)
        _load(state, torch.load(checkpoint, map_location=trainer.state.device, weights_only=True), epochs)
    wait()  # else a slow process would find the next checkpoint of a fast one
    if trainer.state.epoch < epochs:
        if is_main_process():
            WholeCheckpointSaver(str(run_dir), state, file_prefix=name, save_interval=1, n_saved=2).attach(trainer)
        trainer.run()
    if weights is not None and epochs:
        save_weights(state["network"], weights)


def _load(state: Mapping[str, Any], stored: Mapping[str, Any], epochs: int) -> None:
    """A checkpoint into its objects; one of a training of another length goes on along the learning rates of this one."""
    trainer, length = state["trainer"], stored["trainer"]["max_epochs"]
    if length == epochs:
        Checkpoint.load_objects(state, stored)
        return
    Checkpoint.load_objects({k: v for k, v in state.items() if k != "lr_scheduler"}, stored)
    trainer.state.max_epochs = epochs  # ignite takes the stored one, and would begin a complete training once more
    if "lr_scheduler" in state and trainer.state.epoch < epochs:
        with warnings.catch_warnings(action="ignore"):  # that no step of the optimizer comes between
            for _ in range(trainer.state.iteration):
                state["lr_scheduler"].step()


@torch.no_grad()
def calibrate(network: nn.Module, inferer: Inferer, loader: Iterable[dict[str, Any]], device: torch.device) -> list[float]:
    """Shift the bias of the head so that the volumes' logits fit their labels best (least cross entropy).

    Training sees slices, prediction whole volumes: their log-sum-exp is another one. A bias moves a class's map and
    its logit alike, so completeness holds as before.

    Args:
        network: an HRCAMNet; its `head.bias` is changed.
        inferer: the one used for prediction.
        loader: validation volumes, `image` and `label`.
        device: where to run.

    Returns:
        the shift of each class's bias; zeros where the volumes are of one class, which tells nothing.
    """
    network.eval()
    pairs = [(inferer(b["image"].to(device), network)["logits"].float().cpu(), torch.as_tensor(b["label"])) for b in loader]
    pairs = gather(pairs)  # each process has validated its share
    logits, labels = torch.cat([p[0] for p in pairs]), torch.cat([p[1].reshape(-1) for p in pairs]).long()
    if len(labels.unique()) < 2:
        logger.warning("not calibrated: all %d validation volumes are of one class", len(labels))
        return [0.0] * logits.shape[1]
    projection = network.get_buffer("head.projection").float().cpu()  # the reference stays where it is
    shift = torch.zeros(logits.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([shift], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        # the small penalty keeps the shift finite where only one class is seen, and its mean zero
        loss = nn.functional.cross_entropy(logits + projection @ shift, labels) + 1e-5 * (shift**2).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    bias = network.get_parameter("head.bias")
    bias.add_((projection @ shift.detach()).to(bias))
    logger.info("calibrated on %d volumes: bias shifted by %s", len(labels), shift.tolist())
    return shift.tolist()

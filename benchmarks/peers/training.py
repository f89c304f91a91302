"""Train a network stage by stage; one that was stopped goes on with the epoch it was in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from torch import nn
from tqdm import tqdm

from hrcam_monai.engines.resuming import epoch_seed, seed_epoch
from hrcam_monai.seeds.handler import SEEDS
from hrcam_monai.utils.files import write_tensors
from peers.peer import Peer, Stage

WEIGHT_DECAY = 1e-4
# where a processor has no bfloat16 it is made up, a hundred times as slowly; there channels stay first, too: torch 2.13's
# float32 writes beyond its memory with channels last on AVX2 (AME-CAM: "corrupted size vs. prev_size")
SHORT = torch.backends.cpu.get_cpu_capability() == "AVX512"
Progress = dict[str, Any]  # what a checkpoint holds


def train(peer: Peer, loader: DataLoader, validate: Callable[[nn.Module], float], path: Path, seed: int) -> Progress:
    """Train what is left to train.

    Args:
        peer: changed in place.
        loader: batches with `image` and `label`, and `seeds` where masks are learnt.
        validate: a number that tells how well the network does after an epoch; it chooses nothing.
        path: of the checkpoint, written after each epoch.
        seed: each epoch draws numbers of its own from it, so that a resumed training draws the same.

    Returns:
        `validation`, a number an epoch and list a stage; and the `seconds` of processor time that training took.
    """
    if SHORT:
        nn.utils.convert_conv2d_weight_memory_format(peer, torch.channels_last)
    done: Progress = {"network": peer.state_dict(), "stage": 0, "epoch": 0, "validation": [], "seconds": 0.0}
    if path.is_file():
        done = torch.load(path, weights_only=True)
        peer.load_state_dict(done["network"])
    for number, stage in enumerate(peer.stages()):
        if number >= done["stage"]:
            done = train_stage(peer, stage, number, done, loader, validate, path, seed)
    return done


def train_stage(
    peer: Peer,
    stage: Stage,
    number: int,
    done: Progress,
    loader: DataLoader,
    validate: Callable[[nn.Module], float],
    path: Path,
    seed: int,
) -> Progress:
    """One stage, or the rest of it."""
    optimizer = torch.optim.AdamW(stage.part.parameters(), stage.lr, weight_decay=WEIGHT_DECAY)
    steps = max(stage.epochs * len(loader), 10)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.lr, total_steps=steps, pct_start=0.25)
    if done["stage"] == number and done["epoch"]:
        optimizer.load_state_dict(done["optimizer"])
        schedule.load_state_dict(done["schedule"])
    first = done["epoch"] if done["stage"] == number else 0
    for epoch in range(first, stage.epochs):
        start = time.process_time()
        seed_epoch(loader.dataset, epoch_seed(seed, number, epoch))
        peer.train()
        for batch in tqdm(loader, desc=f"{peer.title}, stage {number + 1}, epoch {epoch + 1} of {stage.epochs}", leave=False):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=SHORT and peer.bfloat16):  # losses and weights are float32
                loss = stage.loss(batch["image"], batch["label"], batch.get(SEEDS))
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds = done["seconds"] + time.process_time() - start
        curves = [*done["validation"], *[[]] * (number + 1 - len(done["validation"]))]
        curves[number] = [*curves[number], validate(peer)]
        tqdm.write(
            f"{peer.title}, stage {number + 1}, epoch {epoch + 1}: loss {loss.item():.3f}, validation {curves[number][-1]:.3f}"
        )
        done = {"network": peer.state_dict(), "stage": number, "epoch": epoch + 1, "validation": curves, "seconds": seconds}
        done |= {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        write_tensors(done, path)
    return done

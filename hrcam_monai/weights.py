"""Weights of networks: read from files of any training loop, loaded, saved."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.handlers import Checkpoint
from torch import Tensor, nn

from hrcam_monai.distributed import is_main_process, wait

logger = logging.getLogger(__name__)
HOLDERS = ("state_dict", "model_state_dict", "model", "network", "net")  # where training loops keep a state dict


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict: a plain one, or one kept under a usual key, with or without `module.` prefixes. No code is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of tensors.

    Example:
        >>> torch.save({"state_dict": {"module.a": torch.ones(2)}, "epoch": 3}, "/tmp/a.pt")
        >>> read_weights("/tmp/a.pt")
        {'a': tensor([1., 1.])}
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such weights file; train first, or give the path of one.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds, with pages of text
        raise ValueError(f"{path}: not a whole file of weights; write it by torch.save(net.state_dict(), path).") from None
    for key in HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not any(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path}: holds no state dict; write it by torch.save(net.state_dict(), path).")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_weights(network: nn.Module, path: str | Path | None) -> None:
    """Load a file of weights into a network, every one of them; nothing if the path is None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, weights for other classes, or of another network.

    Example:
        >>> from hrcam_monai.networks import StageCNN
        >>> torch.save(StageCNN().state_dict(), "/tmp/cnn.pt")
        >>> load_weights(StageCNN(), "/tmp/cnn.pt")
    """
    if path is None:
        return
    weights = read_weights(path)
    own = network.state_dict()
    if "head.bias" in own and "head.bias" in weights and len(own["head.bias"]) != len(weights["head.bias"]):
        raise ValueError(
            f"{path}: weights for {len(weights['head.bias'])} classes, but {len(own['head.bias'])} are configured; "
            "give the classes they were trained for."
        )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        fault = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: weights of another network ({fault}); use the configuration of the network they belong to."
        ) from None


def load_best(network: nn.Module, run_dir: str | Path) -> None:
    """Load the checkpoint of the best key metric, if validation has left one; the main process may still be writing it."""
    wait()
    best = Path(run_dir) / "best.pt"
    if best.is_file():
        device = next(network.parameters()).device
        Checkpoint.load_objects({"network": network}, torch.load(best, map_location=device, weights_only=True))


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Save a network's state dictionary, that of the network itself under DDP, on the main process only."""
    if is_main_process():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(getattr(network, "module", network).state_dict(), path)
        logger.info("weights: %s", path)

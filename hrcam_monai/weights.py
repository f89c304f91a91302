"""Weights of networks: read from files of any training loop, loaded, saved."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.handlers import Checkpoint
from torch import Tensor, nn

from hrcam_monai.utils.distributed import is_main_process, wait
from hrcam_monai.utils.files import write_tensors

__all__ = ["load_best", "load_weights", "network_hash", "read_weights", "save_weights"]

logger = logging.getLogger(__name__)
# where training loops keep a state dict: Lightning, timm, Ignite, nnU-Net, plain scripts
HOLDERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "network_def", "network_weights", "weights"),
    *("model_ema", "ema"),
)
# numbers that scripts leave beside the weights; none of these runs code
NUMBERS: list[Any] = [np.float64(0).__reduce__()[0], np.dtype, *(type(np.dtype(kind)) for kind in "?bhilqBHILQefd")]


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
        with torch.serialization.safe_globals(NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, with pages of text
        raise ValueError(f"{path}: {_refusal(str(error))}") from None
    for key in HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not any(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path}: holds no state dict; write it by torch.save(net.state_dict(), path).")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _refusal(told: str) -> str:
    """What a file is that torch does not read as weights, and what to do."""
    if "TorchScript" in told:
        return "is TorchScript, not weights; list inference_exported.json and give it as --exported."
    if "Unsupported global" in told or ("weights_only" in told and "GLOBAL" in told):
        return "holds a whole pickled network, which could run code; write its weights by torch.save(net.state_dict(), path)."
    return "not a whole file of weights; write it by torch.save(net.state_dict(), path)."


def _fitting(weights: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """The weights by a network's own names, where wrappers (DDP, torch.compile, Lightning) have put a prefix before each.

    Only if every one of the names is there behind one and the same prefix; what else the file holds, a loss or a wrapper's
    own, is then left out. Otherwise the weights as they are.

    Example:
        >>> list(_fitting({"net._orig_mod.a": torch.ones(1), "loss.a": torch.ones(1)}, ["a"]))
        ['a']
    """
    wanted = list(names)
    if not wanted or all(name in weights for name in wanted):
        return weights
    ends = [name.removesuffix(wanted[0]) for name in weights if name.endswith(f".{wanted[0]}")]
    fits = [prefix for prefix in ends if all(prefix + name in weights for name in wanted)]
    return {name: weights[fits[0] + name] for name in wanted} if len(fits) == 1 else weights


def network_hash(network: nn.Module) -> str:
    """sha256 of a network's parameters and buffers with their names, as hexadecimal digits.

    Example:
        >>> network_hash(nn.ReLU())[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
    own = network.state_dict()
    weights = _fitting(read_weights(path), own)
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
        write_tensors(getattr(network, "module", network).state_dict(), Path(path))
        logger.info("weights: %s", path)

"""The network as it is exported, and back: logits and class maps out of one graph."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from torch import Tensor, nn

from hrcam_monai.networks.hrcam_net import HRCAMNet

__all__ = ["ExportableHRCAMNet", "load_exported"]


class ExportableHRCAMNet(HRCAMNet):
    """An `HRCAMNet` whose forward pass gives the class maps beside the logits, for TorchScript, ONNX and TensorRT.

    It takes the same arguments and the same weights.

    Example:
        >>> from hrcam_monai.networks import StageCNN
        >>> net = torch.jit.script(ExportableHRCAMNet(StageCNN(), num_classes=2).eval())
        >>> [list(t.shape) for t in net(torch.rand(1, 1, 32, 32))]
        [[1, 2], [1, 2, 32, 32]]
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """[B, C, *spatial] -> logits [B, K] and class maps [B, K, *spatial]."""
        return self.head.maps_of_native(self.native_maps(x), list(x.shape[2:]))

    # `forward` is all that is exported: methods of the parent that are marked for export cannot be traced

    def class_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The forward pass, so that what replaces it (TensorRT) is used by inferers, too."""
        return self.forward(x)

    def level_maps(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `HRCAMNet.level_maps`."""
        return super().level_maps(x)


class _OnnxNet(nn.Module):
    """An exported ONNX file as a network, run by onnxruntime on the CPU, or on a GPU where its provider is installed.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("onnxruntime is not installed; pip install hrcam-monai[onnx].") from None
        known = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in known]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self.input = self.session.get_inputs()[0].name

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, *spatial] -> logits [B, K] and class maps [B, K, *spatial]."""
        logits, maps = self.session.run(None, {self.input: x.detach().float().cpu().numpy()})
        return torch.from_numpy(logits).to(x.device), torch.from_numpy(maps).to(x.device)


def load_exported(path: str | Path) -> nn.Module:
    """An exported model, which returns logits and class maps: `.onnx`, or TorchScript (TensorRT's, too).

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither ONNX nor TorchScript, or a model that gives no class maps.

    Example:
        >>> load_exported("bundle/models/model.ts")  # doctest: +SKIP
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such exported model; make it with monai.bundle's ckpt_export or onnx_export.")
    if file.suffix == ".onnx":
        return _OnnxNet(file)
    with contextlib.suppress(ImportError):
        import torch_tensorrt  # noqa: F401  # where it is installed: TorchScript with an engine of TensorRT needs it
    try:
        network = torch.jit.load(str(file), map_location="cpu")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(f"{path}: no TorchScript ({reason}); give a file made by ckpt_export, or an .onnx one.") from None
    if not hasattr(network, "class_maps") and network.forward.schema.returns[0].type.kind() != "TupleType":
        raise ValueError(f"{path}: gives no class maps; export it with export.json listed after the config.")
    return network

"""HR-CAM beside MONAI's CAM and GradCAM: the same call, the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.utils import convert_to_dst_type
from monai.visualize.class_activation_maps import CAMBase
from torch import Tensor

from hrcam_monai.networks.hrcam_net import HRCAMNet
from hrcam_monai.networks.modes import evaluating

__all__ = ["HRCAM"]


class HRCAM(CAMBase):
    """Class activation maps of an `HRCAMNet`, called as `monai.visualize.GradCAM` is.

    Maps are signed and in logit units: their pooling is the class's logit. No hook, gradient or mode stays on the
    network afterwards. Each image of a batch gets the map of its own class.

    Args:
        nn_module: the network.
        postprocessing: applied to the maps; by default nothing is, where MONAI's `default_normalizer` would turn the
            sign around.

    Raises:
        TypeError: nn_module has no class maps.

    Example:
        >>> from hrcam_monai.networks import HRCAMNet, StageCNN
        >>> HRCAM(nn_module=HRCAMNet(StageCNN(), num_classes=2))(torch.rand(2, 1, 32, 32), class_idx=[0, 1]).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(self, nn_module: HRCAMNet, *, postprocessing: Callable[[Tensor], Tensor] = lambda maps: maps) -> None:
        # CAMBase.__init__ would wrap the network in hooks, which HR-CAM does not need
        if not hasattr(nn_module, "class_maps"):
            raise TypeError(f"HRCAM needs a network with class_maps; wrap {type(nn_module).__name__} in an HRCAMNet.")
        self.nn_module = nn_module  # type: ignore[assignment]
        self.postprocessing = postprocessing

    @torch.no_grad()
    def compute_map(self, x: Tensor, class_idx: int | Sequence[int] | Tensor | None = None, layer_idx: int = -1) -> Tensor:
        """Maps before post-processing: [B, C, *spatial] -> [B, 1, *spatial].

        Args:
            x: images.
            class_idx: None for the predicted class of each image, an int for one class, or one int for each image.
            layer_idx: taken for GradCAM's sake; HR-CAM always aggregates all levels.

        Raises:
            ValueError: class_idx has not one entry for each image, or is outside the classes.
        """
        module: Any = self.nn_module
        with evaluating(module):
            logits, maps = module.class_maps(x.as_tensor() if hasattr(x, "as_tensor") else x)
        batch, classes = logits.shape
        if class_idx is None:
            chosen = logits.argmax(1)
        else:
            chosen = torch.as_tensor(class_idx, device=logits.device).reshape(-1).long()
            chosen = chosen.expand(batch) if chosen.numel() == 1 else chosen
        if chosen.numel() != batch:
            raise ValueError(f"class_idx has {chosen.numel()} entries for a batch of {batch}.")
        if int(chosen.min()) < 0 or int(chosen.max()) >= classes:
            raise ValueError(f"class_idx {chosen.tolist()} is outside the {classes} classes, 0 to {classes - 1}.")
        return maps[torch.arange(batch, device=maps.device), chosen].unsqueeze(1)

    def __call__(  # type: ignore[override]
        self,
        x: Tensor,
        class_idx: int | Sequence[int] | Tensor | None = None,
        layer_idx: int = -1,
        retain_graph: bool = False,
    ) -> Tensor:
        """The map of a class for each image, [B, 1, *spatial]; a MetaTensor gives a MetaTensor.

        See `compute_map`; retain_graph is taken for GradCAM's sake, HR-CAM needs no graph.
        """
        maps = self.postprocessing(self.compute_map(x, class_idx, layer_idx))
        return convert_to_dst_type(maps, x, dtype=maps.dtype)[0]

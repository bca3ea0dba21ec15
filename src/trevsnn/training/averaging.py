"""Moving average of the weights."""

import torch
from timm.utils import ModelEmaV3
from torch import nn


class SharedWeightsEma(ModelEmaV3):
    """timm's average of parameters and buffers, each averaged once.

    timm walks the state dict, where a parameter that several subnetworks share stands under several names and
    would move several steps at a time.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True):
        super().__init__(model, decay=decay, use_warmup=warmup, warmup_power=0.75)

    @torch.no_grad()
    def apply_update_(self, model: nn.Module, decay: float) -> None:
        """One step of the average."""
        averages = [*self.module.parameters(), *self.module.buffers()]
        pairs = list(zip(averages, [*model.parameters(), *model.buffers()], strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [value for _, value in floats], 1 - decay)
        if counts:
            torch._foreach_copy_([a for a, _ in counts], [value for _, value in counts])

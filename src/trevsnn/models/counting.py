"""How large a network is: parameters and multiply-accumulates."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from trevsnn.layers import SpikeHead
from trevsnn.models.base import SpikingNetwork
from trevsnn.models.network import TRevSNN


def count_macs(model: SpikingNetwork, input_size: tuple[int, int, int] = (3, 224, 224)) -> int:
    """Multiply-accumulates of the inference of one image or clip, every spike counted as if it were a number.

    Args:
        model: an unfolded or folded network; it is not run, only its shapes are.
        input_size: (in_chans, H, W).
    """
    shapes = copy.deepcopy(model).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shapes(torch.empty(model.config.input_shape(1, *input_size[1:]), device="meta"))
    return counter.get_total_flops() // 2


def parameter_counts(model: SpikingNetwork) -> dict[str, int]:
    """Number of parameters, each counted once however often it is shared.

    `training`: all; `without_aux_heads`: what inference needs; `deployed`: the same with the head's two linear
    layers counted as one. (`fold()` merges more, so its network has fewer still.)
    """
    training = sum(p.numel() for p in model.parameters())
    if not isinstance(model, TRevSNN):
        return dict.fromkeys(("training", "without_aux_heads", "deployed"), training)
    without = training - sum(p.numel() for p in model.aux_heads.parameters())
    second = model.head.linear2.parameters() if isinstance(model.head, SpikeHead) else ()
    return {
        "training": training,
        "without_aux_heads": without,
        "deployed": without - sum(p.numel() for p in second),
    }

"""How often the neurons of each level fire, step by step."""

import torch
from torch import Tensor

from trevsnn.models import TRevSNN


@torch.inference_mode()
def level_firing_rates(model: TRevSNN, clip: Tensor) -> Tensor:
    """Share of each level's key neurons that fire at each step, (T, L), 0 to 1, of a network for clips.

    Args:
        model: the network; it is put into eval mode.
        clip: (T, N, in_chans, H, W).
    """
    model.eval()
    membranes, rates = None, []
    for t, frame in enumerate(clip):
        state = model.grid.step(t, frame, membranes)
        membranes = state.membranes
        rates.append(torch.stack([state.spikes(level).mean() for level in range(len(membranes))]))
    return torch.stack(rates)

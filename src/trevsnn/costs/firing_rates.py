"""How often the neurons of each level fire, step by step."""

import torch
from torch import Tensor

from trevsnn.models import TRevSNN
from trevsnn.reversible import StepState


@torch.inference_mode()
def level_firing_rates(model: TRevSNN, clip: Tensor) -> Tensor:
    """Share of each level's key neurons that fire at each step, (T, L), 0 to 1, of a network for clips.

    Args:
        model: the network; it is put into eval mode.
        clip: (T, N, in_chans, H, W).
    """
    rates = []

    def note(state: StepState) -> None:
        rates.append(torch.stack([state.spikes(level).mean() for level in range(len(state.membranes))]))

    with model.eval().grid.observe(note):
        model(clip)
    return torch.stack(rates)

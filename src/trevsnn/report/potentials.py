"""Histograms of membrane potentials, added up while a network runs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trevsnn.neurons import Neuron
from trevsnn.reversible import StepState

LOW, HIGH = -256, 256
BINS_PER_UNIT = 16
"""A power of 2, so that no rounding moves a potential across an edge."""
BINS = (HIGH - LOW) * BINS_PER_UNIT
EDGES = LOW + torch.arange(BINS + 1, dtype=torch.float64) / BINS_PER_UNIT


@dataclass(frozen=True)
class Potentials:
    """Of the key neurons, over any number of images."""

    neuron: Neuron
    counts: Tensor
    """(T, L, BINS), int64: how many potentials lay between which `EDGES`, the lower included; what is beyond the first
    or last edge counts next to it."""
    fired: Tensor
    """(T, L), int64: how many reached the threshold."""
    in_window: Tensor
    """(T, L), int64: how many lay in the surrogate window, its edges included."""

    @classmethod
    def none(cls, timesteps: int, levels: int, neuron: Neuron | None = None) -> "Potentials":
        """Nothing counted yet."""
        counts = torch.zeros(timesteps, levels, BINS, dtype=torch.int64)
        return cls(neuron or Neuron(), counts, torch.zeros_like(counts[..., 0]), torch.zeros_like(counts[..., 0]))

    def add(self, state: StepState) -> None:
        """Count those of all levels after a step."""
        for level, v in enumerate(state.membranes):
            bins = (v.detach().float() * BINS_PER_UNIT).floor_().sub_(LOW * BINS_PER_UNIT).clamp_(0, BINS - 1)
            self.counts[state.t, level] += bins.nan_to_num_(0).flatten().int().bincount(minlength=BINS).cpu()
            self.fired[state.t, level] += int(self.neuron.fires(v).count_nonzero())
            self.in_window[state.t, level] += int(self.neuron.in_window(v).count_nonzero())

    @property
    def total(self) -> Tensor:
        """(T, L), int64: how many were counted."""
        return self.counts.sum(-1)

    @property
    def firing_rate(self) -> Tensor:
        """(T, L): share that reached the threshold, 0 to 1."""
        return self.fired / self.total

    @property
    def window_share(self) -> Tensor:
        """(T, L): share in the surrogate window, 0 to 1."""
        return self.in_window / self.total

"""The spike and its surrogate gradient: the one definition used by every neuron in this package.

A neuron with membrane potential v (dimensionless) fires when v >= 0.5:

    spike(v)       = 1 if v >= 0.5 else 0
    d spike / d v := 1 if 0 <= v <= 1 else 0        (rectangular surrogate gradient)

Both the spike and the "is v inside the surrogate window" bit are yes/no facts, so two bits per
neuron are all that a backward pass ever needs to know about v (see `trevsnn.reversible.codes`).
"""

import torch
from torch import Tensor

THRESHOLD = 0.5
WINDOW = (0.0, 1.0)


def fires(v: Tensor) -> Tensor:
    """Boolean tensor of v's shape: where the membrane potential reaches the threshold."""
    return v >= THRESHOLD


def in_window(v: Tensor) -> Tensor:
    """Boolean tensor of v's shape: where the surrogate gradient is 1."""
    low, high = WINDOW
    return (v >= low) & (v <= high)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(in_window(v))
        return fires(v).to(v.dtype)

    @staticmethod
    def backward(ctx, grad):
        (window,) = ctx.saved_tensors
        return grad * window


def spike(v: Tensor) -> Tensor:
    """Spikes (0 or 1, in v's shape and dtype) with the rectangular surrogate gradient.

    Source: Hu et al., ICML 2024, as their public code computes it; v = 0.5 always fires.
    """
    return _Spike.apply(v)

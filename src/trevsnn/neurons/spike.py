"""The spike and its surrogate gradient: the one definition used by every neuron in this package.

A neuron with membrane potential v (dimensionless) fires when v >= 0.5:

    spike(v)       = 1 if v >= 0.5 else 0
    d spike / d v := 1 if 0 <= v <= 1 else 0        (rectangular surrogate gradient)

Both the spike and the "is v inside the surrogate window" bit are yes/no facts, so two bits per
neuron are all that a backward pass ever needs to know about v (see `trevsnn.neurons.codes`).
"""

import torch
from torch import Tensor

from trevsnn.neurons.codes import dense, pack, unpack
from trevsnn.neurons.masks import fires, in_window
from trevsnn.neurons.packing import keep_as, packing


class _Spike(torch.autograd.Function):
    """Keeps a byte per neuron: whether it was inside the window."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(in_window(v).to(torch.bool))
        return fires(v)

    @staticmethod
    def backward(ctx, grad):
        (window,) = ctx.saved_tensors
        return grad * window.view(torch.uint8)  # bool would first be converted, slowly


class _PackedSpike(torch.autograd.Function):
    """Keeps 2 bits per neuron. Returns the spikes and the codes."""

    @staticmethod
    def forward(ctx, v):
        spikes, codes = pack(v)
        ctx.save_for_backward(codes)
        ctx.mark_non_differentiable(codes)
        ctx.set_materialize_grads(False)
        ctx.strides = v.stride()
        return spikes, codes

    @staticmethod
    def backward(ctx, grad, _):
        (codes,) = ctx.saved_tensors
        return None if grad is None else grad * unpack(codes, 1, grad.shape, ctx.strides, torch.uint8)


def spike(v: Tensor) -> Tensor:
    """Spikes (0 or 1, in v's shape and dtype) with the rectangular surrogate gradient.

    Source: Hu et al., ICML 2024, as their public code computes it; v = 0.5 always fires.
    """
    if not (v.requires_grad and torch.is_grad_enabled()):
        return fires(v)
    if not packing():
        return _Spike.apply(v)
    v = dense(v)
    spikes, codes = _PackedSpike.apply(v)
    shape, strides, dtype = v.shape, v.stride(), v.dtype
    return keep_as(spikes, lambda: unpack(codes, 0, shape, strides, dtype))

"""Key neurons as codes of a few bits on their way through autograd.

A code travels as two tensors: `packed`, the bytes (see `trevsnn.neurons.neuron`), and `token`, a zero of the
membrane potential's shape that takes no memory (stride 0) and carries the gradient of the spikes back
to the membrane potential. Neither holds a float per neuron.
"""

from typing import NamedTuple

from torch import Tensor
from torch.autograd import Function

from trevsnn.neurons import Neuron


class _Encode(Function):
    @staticmethod
    def forward(ctx, v, neuron):
        _, packed = neuron.encode(v)
        token = v.new_zeros(()).expand(v.shape)
        ctx.mark_non_differentiable(packed)
        ctx.save_for_backward(packed)
        ctx.neuron, ctx.strides = neuron, v.stride()
        ctx.set_materialize_grads(False)
        return packed, token

    @staticmethod
    def backward(ctx, _, grad):
        (packed,) = ctx.saved_tensors
        return None if grad is None else grad * ctx.neuron.surrogate(packed, grad.shape, ctx.strides), None


class _Decode(Function):
    @staticmethod
    def forward(ctx, packed, token, strides, neuron):
        ctx.set_materialize_grads(False)
        return neuron.decode(packed, token.shape, strides, token.dtype)

    @staticmethod
    def backward(ctx, grad):
        return None, grad, None, None


class SpikeCode(NamedTuple):
    """The spikes of one level at one step, a few bits per neuron.

    `packed` holds the codes, `token` the shape, the dtype and the way back for the gradient, `strides`
    the memory layout in which `decode` returns the spikes, `neuron` what it means.
    """

    packed: Tensor
    token: Tensor
    strides: tuple[int, ...]
    neuron: Neuron

    @classmethod
    def encode(cls, v: Tensor, neuron: Neuron) -> "SpikeCode":
        """Codes of the membrane potentials v (dense, see `trevsnn.neurons.codes.dense`)."""
        packed, token = _Encode.apply(v, neuron)
        return cls(packed, token, v.stride(), neuron)

    def decode(self) -> Tensor:
        """The spikes as 0 or 1 in the membrane potential's shape, dtype and layout."""
        return _Decode.apply(*self)


def decoded(spikes: Tensor | SpikeCode) -> Tensor:
    """Spikes as a tensor, however they are kept; a node of its own, so that one reader's gradients are summed first."""
    return spikes.decode() if isinstance(spikes, SpikeCode) else spikes.view_as(spikes)

"""Key neurons as 2-bit codes: whether each fired, and whether it was inside the surrogate window.

Four codes share a byte: byte i holds the neurons i, i + q, i + 2q and i + 3q of the flattened tensor
of 4q neurons (the last ones padding), so packing and unpacking are plain contiguous passes.

A code travels through autograd as two tensors: `packed`, the bytes, and `token`, a zero of the
membrane potential's shape that takes no memory (stride 0) and carries the gradient of the spikes back
to the membrane potential. Neither holds a float per neuron.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from trevsnn.neurons import fires, in_window

_PER_BYTE = 4


def dense(v: Tensor) -> Tensor:
    """v itself where its elements fill one block of memory in row-major or channels-last order, else a copy."""
    if v.is_contiguous() or (v.dim() == 4 and v.is_contiguous(memory_format=torch.channels_last)):
        return v
    return v.contiguous()


def pack(v: Tensor) -> Tensor:
    """2-bit codes of a dense tensor of membrane potentials, as ceil(v.numel() / 4) bytes."""
    flat = v.detach().as_strided((v.numel(),), (1,))
    quarter = -(-v.numel() // _PER_BYTE)
    packed = torch.zeros(quarter, dtype=torch.uint8, device=v.device)
    for k in range(_PER_BYTE):
        part = flat[k * quarter : (k + 1) * quarter]
        code = fires(part).to(torch.uint8) | (in_window(part).to(torch.uint8) << 1)
        packed[: part.numel()] |= code << 2 * k
    return packed


def _unpack(packed: Tensor, bit: int, like: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Bit 0 (fired) or 1 (in the window) of each code, as 0 or 1 in like's shape and dtype."""
    out = torch.empty_strided(like.shape, strides, dtype=like.dtype, device=like.device)
    flat = out.as_strided((out.numel(),), (1,))
    quarter = packed.numel()
    for k in range(_PER_BYTE):
        part = flat[k * quarter : (k + 1) * quarter]
        part.copy_((packed[: part.numel()] >> (2 * k + bit)) & 1)
    return out


class _Encode(Function):
    @staticmethod
    def forward(ctx, v):
        packed = pack(v)
        token = v.new_zeros(()).expand(v.shape)
        ctx.mark_non_differentiable(packed)
        ctx.save_for_backward(packed)
        ctx.strides = v.stride()
        ctx.set_materialize_grads(False)
        return packed, token

    @staticmethod
    def backward(ctx, _, grad):
        (packed,) = ctx.saved_tensors
        return None if grad is None else grad * _unpack(packed, 1, grad, ctx.strides)


class _Decode(Function):
    @staticmethod
    def forward(ctx, packed, token, strides):
        ctx.set_materialize_grads(False)
        return _unpack(packed, 0, token, strides)

    @staticmethod
    def backward(ctx, grad):
        return None, grad, None


class SpikeCode(NamedTuple):
    """The spikes of one level at one step, in 2 bits per neuron.

    `packed` holds the codes, `token` the shape, the dtype and the way back for the gradient, `strides`
    the memory layout in which `decode` returns the spikes.
    """

    packed: Tensor
    token: Tensor
    strides: tuple[int, ...]

    @classmethod
    def encode(cls, v: Tensor) -> "SpikeCode":
        """Codes of the membrane potentials v (dense, see `dense`)."""
        packed, token = _Encode.apply(v)
        return cls(packed, token, v.stride())

    def decode(self) -> Tensor:
        """The spikes as 0 or 1 in the membrane potential's shape, dtype and layout."""
        return _Decode.apply(self.packed, self.token, self.strides)


def decoded(spikes: Tensor | SpikeCode) -> Tensor:
    """Spikes as a tensor, however they are kept."""
    return spikes.decode() if isinstance(spikes, SpikeCode) else spikes

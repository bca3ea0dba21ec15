"""The neuron: when it fires, its surrogate gradient, and the code that is all a backward pass needs to know of it.

With membrane potential v, threshold theta and a window [low, high] (all dimensionless):

    spike(v)       = 1 if v >= theta else 0
    d spike / d v := 1 if low <= v <= high else 0        (rectangular surrogate gradient)

Both are yes/no facts, so a code of two bits holds them: bit 0 whether the neuron fired, bit 1 whether v was inside the
window. NaN neither fires nor passes a gradient.

Source: Hu et al., ICML 2024, as their public code computes it, with theta = 0.5 and the window [0, 1].
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._triton import has_triton

from trevsnn._util.checks import is_number
from trevsnn.neurons.codes import dense, pack, unpack
from trevsnn.neurons.packing import keep_as, packing

_FIRED, _IN_WINDOW = 0, 1  # bits of a code


@dataclass(frozen=True)
class Neuron:
    """A neuron without memory: called with membrane potentials, it returns spikes.

    Raises:
        ValueError: for a threshold that is not a positive number, or a window that does not hold it.

    Examples:
        >>> Neuron(threshold=1.0, window=(0.5, 1.5))(torch.tensor([0.9, 1.0, 2.0]))
        tensor([0., 1., 1.])
    """

    threshold: float = 0.5
    """A neuron whose membrane potential reaches it fires."""
    window: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest membrane potential at which the surrogate gradient is 1; it is 0 elsewhere."""

    BITS: ClassVar[int] = 2
    """Of a code."""
    _limits: ClassVar[Mapping[torch.dtype, tuple[float, float, float]]]
    """Threshold and window as potentials of each dtype are compared with them, so that all ways to do it agree."""

    def __post_init__(self) -> None:
        if not is_number(self.threshold) or not 0 < self.threshold < math.inf:
            raise ValueError(f"threshold={self.threshold!r} must be a positive number")
        if not isinstance(self.window, (tuple, list)) or len(self.window) != 2 or not all(map(is_number, self.window)):
            raise ValueError(f"window={self.window!r} must be two numbers, the lowest and the highest potential")
        object.__setattr__(self, "window", tuple(self.window))
        low, high = self.window
        if not low < high or not low <= self.threshold <= high:
            raise ValueError(
                f"window={self.window!r} must go from a lower to a higher potential, with threshold={self.threshold!r} "
                "between them"
            )
        limits = self.threshold, low, high
        object.__setattr__(self, "_limits", {dtype: tuple(map(rounded, limits)) for dtype, rounded in _ROUNDED.items()})

    def __call__(self, v: Tensor) -> Tensor:
        """Spikes (0 or 1, in v's shape and dtype) with the surrogate gradient."""
        if not (v.requires_grad and torch.is_grad_enabled()):
            return self.fires(v)
        if not packing():
            return _Spike.apply(v, self)
        v = dense(v)
        spikes, codes = _PackedSpike.apply(v, self)
        shape = v.shape
        strides = v.stride()
        dtype = v.dtype
        return keep_as(spikes, lambda: self.decode(codes, shape, strides, dtype))

    def fires(self, v: Tensor) -> Tensor:
        """Where the membrane potential reaches the threshold, as 0 or 1 in v's dtype."""
        threshold, _, _ = self._limits[v.dtype]
        return _fires(v.detach(), threshold)

    def in_window(self, v: Tensor) -> Tensor:
        """Where the surrogate gradient is 1, as 0 or 1 in v's dtype."""
        _, low, high = self._limits[v.dtype]
        return _in_window(v.detach(), low, high)

    def encode(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of dense membrane potentials, and their codes, packed in ceil(v.numel() * BITS / 8) bytes."""
        flat = v.detach().as_strided((v.numel(),), (1,))
        spikes, codes = _fused(_encode, v.device)(flat, *self._limits[v.dtype])
        return spikes.as_strided(v.shape, v.stride()), codes

    def decode(self, codes: Tensor, shape: torch.Size, strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The spikes of codes, a dense tensor of this shape and these strides."""
        return _fused(_bit, codes.device)(codes, _FIRED, dtype).as_strided(shape, strides)

    def surrogate(self, codes: Tensor, shape: torch.Size, strides: tuple[int, ...]) -> Tensor:
        """The surrogate gradient, 0 or 1, of codes, as bytes (bool would be converted, slowly, where it is used)."""
        return _fused(_bit, codes.device)(codes, _IN_WINDOW, torch.uint8).as_strided(shape, strides)


def spike(v: Tensor) -> Tensor:
    """Spikes (0 or 1, in v's shape and dtype) of `Neuron()`; v = 0.5 fires."""
    return _DEFAULT(v)


def _in_bfloat16(x: float) -> float:
    """The nearest one: the upper half of fp32's bits, the lower half rounded to even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000))[0]


# By dtype, how a number becomes one of it; not with tensors, which may be on no device while a network is built.
_ROUNDED: Mapping[torch.dtype, Callable[[float], float]] = {
    torch.float64: float,
    torch.float32: lambda x: float(np.float32(x)),
    torch.float16: lambda x: float(np.float16(x)),
    torch.bfloat16: _in_bfloat16,
}
_DEFAULT = Neuron()


class _Spike(torch.autograd.Function):
    """Keeps a byte per neuron: whether it was inside the window."""

    @staticmethod
    def forward(ctx, v, neuron):
        ctx.save_for_backward(neuron.in_window(v).to(torch.bool))
        return neuron.fires(v)

    @staticmethod
    def backward(ctx, grad):
        (window,) = ctx.saved_tensors
        return grad * window.view(torch.uint8), None  # bool would first be converted, slowly


class _PackedSpike(torch.autograd.Function):
    """Keeps the codes. Returns the spikes and the codes."""

    @staticmethod
    def forward(ctx, v, neuron):
        spikes, codes = neuron.encode(v)
        ctx.save_for_backward(codes)
        ctx.mark_non_differentiable(codes)
        ctx.set_materialize_grads(False)
        ctx.neuron, ctx.strides = neuron, v.stride()
        return spikes, codes

    @staticmethod
    def backward(ctx, grad, _):
        (codes,) = ctx.saved_tensors
        return None if grad is None else grad * ctx.neuron.surrogate(codes, grad.shape, ctx.strides), None


# In v's own dtype, because comparisons that answer in bool are several times slower on a CPU.


def _fires(v: Tensor, threshold: float) -> Tensor:
    return torch.ge(v, threshold, out=torch.empty_like(v))


def _in_window(v: Tensor, low: float, high: float) -> Tensor:
    return v.clamp(low, high).eq_(v)


def _encode(flat: Tensor, threshold: float, low: float, high: float) -> tuple[Tensor, Tensor]:
    spikes = _fires(flat, threshold)
    codes = _in_window(flat, low, high).mul_(2).add_(spikes).to(torch.int8).view(torch.uint8)  # not at once: slower
    return spikes, pack(codes, Neuron.BITS)


def _bit(codes: Tensor, bit: int, dtype: torch.dtype) -> Tensor:
    return unpack(codes, Neuron.BITS, first=bit, count=1).to(dtype)


@cache
def _fused(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """function, as one kernel where PyTorch's compiler makes one that is worth it: on a GPU with Triton."""
    if device.type == "cuda" and has_triton():
        return torch.compile(function, dynamic=True)
    return function

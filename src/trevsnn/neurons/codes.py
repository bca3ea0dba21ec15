"""Two bits per neuron: bit 0 whether it fired, bit 1 whether it was inside the surrogate window.

Four codes share a byte: byte i holds the neurons i, i + q, i + 2q and i + 3q of the flattened tensor
of 4q neurons (the last ones padding), so packing and unpacking are plain contiguous passes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._triton import has_triton

from trevsnn.neurons.masks import fires, in_window

_PER_BYTE = 4


def dense(v: Tensor) -> Tensor:
    """v itself where its elements fill one block of memory in row-major or channels-last order, else a copy."""
    if v.is_contiguous() or (v.dim() == 4 and v.is_contiguous(memory_format=torch.channels_last)):
        return v
    return v.contiguous()


def pack(v: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes (0 or 1) of a dense tensor of membrane potentials, and its 2-bit codes in ceil(v.numel() / 4) bytes."""
    spikes, codes = _fused(_pack, v.device)(v.detach().as_strided((v.numel(),), (1,)))
    return spikes.as_strided(v.shape, v.stride()), codes


def unpack(codes: Tensor, bit: int, shape: torch.Size, strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Bit 0 (fired) or 1 (in the window) of each code, as 0 or 1 in a dense tensor of this shape and these strides."""
    flat = _fused(_unpack, codes.device)(codes, bit, dtype)
    return flat.as_strided(shape, strides)


def _pack(flat: Tensor) -> tuple[Tensor, Tensor]:
    spikes = fires(flat)
    codes = in_window(flat).mul_(2).add_(spikes).to(torch.int8).view(torch.uint8)  # not at once: slower
    if missing := -len(codes) % _PER_BYTE:
        codes = pad(codes, (0, missing))
    quarters = codes.view(_PER_BYTE, -1)
    return spikes, quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def _unpack(codes: Tensor, bit: int, dtype: torch.dtype) -> Tensor:
    shifts = torch.arange(bit, 2 * _PER_BYTE, 2, dtype=torch.uint8, device=codes.device)
    return ((codes >> shifts[:, None]) & 1).to(dtype).flatten()


@cache
def _fused(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """function, as one kernel where PyTorch's compiler makes one that is worth it: on a GPU with Triton."""
    if device.type == "cuda" and has_triton():
        return torch.compile(function, dynamic=True)
    return function

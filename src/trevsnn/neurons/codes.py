"""Small numbers packed into bytes.

With 2 bits, four numbers share a byte: byte i holds the numbers i, i + q, i + 2q and i + 3q of 4q (the last ones
padding), so packing and unpacking are plain contiguous passes.
"""

from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad


def dense(v: Tensor) -> Tensor:
    """v itself where its elements fill one block of memory in row-major or channels-last order, else a copy."""
    if v.is_contiguous() or (v.dim() == 4 and v.is_contiguous(memory_format=torch.channels_last)):
        return v
    return v.contiguous()


def pack(numbers: Tensor, bits: int) -> Tensor:
    """Numbers below 2^bits (uint8, one dimension) in ceil(len(numbers) * bits / 8) bytes; bits is 1, 2 or 4."""
    per_byte = 8 // bits
    if missing := -len(numbers) % per_byte:
        numbers = pad(numbers, (0, missing))
    parts = enumerate(numbers.view(per_byte, -1))
    return reduce(torch.bitwise_or, (part << i * bits if i else part for i, part in parts))


def unpack(packed: Tensor, bits: int, *, first: int, count: int) -> Tensor:
    """The `count` bits from `first` on of each number (uint8), the padding included."""
    shifts = torch.arange(first, 8, bits, dtype=torch.uint8, device=packed.device)
    return ((packed >> shifts[:, None]) & (2**count - 1)).flatten()

"""The shadow of a level: its membrane potentials in more precision than fp32, from which earlier ones are rebuilt.

A potential takes 6 bytes: its value in fp32 and, in 15 bits, what fp32 leaves of it. (In 8, as float64, where the
network computes in float64.) All is one floating-point tensor, so that it can travel as a gradient.

Inside, channels come last: (N, C, ...) is read and written as float64 tensors (n, ..., C).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK = 2**18
_STEPS = 2**37  # of the remainder, in parts of the value; it is at most 2**-24 of it
_ZERO = 2**14  # keeps the bits of the remainders from looking like a NaN
PRECISION = 1 / _STEPS


def channels_at_end(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, ..., C)."""
    return x.movedim(1, -1)


class Shadow:
    """Potentials of N samples, to be read and written some samples at a time.

    Args:
        data: (N, bytes as floats).
        shape: (..., C), of one sample.
    """

    def __init__(self, data: Tensor, shape: torch.Size):
        self.data = data
        self.shape = shape

    @classmethod
    def like(cls, h: Tensor) -> "Shadow":
        """Room for the potentials h (N, C, ...)."""
        return cls(torch.zeros_like(cls.token(h), memory_format=torch.contiguous_format), channels_at_end(h).shape[1:])

    @staticmethod
    def token(h: Tensor) -> Tensor:
        """A zero of the shape and dtype of the data for potentials h (N, C, ...), that takes no memory."""
        size = h[:1].numel()
        if h.dtype != torch.float64:
            size += -(-size // 2)
        return h.new_zeros((), dtype=torch.promote_types(h.dtype, torch.float32)).expand(len(h), size)

    @staticmethod
    def precision(dtype: torch.dtype) -> float:
        """Relative size of a rounding for potentials computed in dtype."""
        return torch.finfo(dtype).eps if dtype == torch.float64 else PRECISION

    def chunks(self) -> Iterator[slice]:
        """All samples, so many at a time that a float64 copy of them is small."""
        step = max(1, _CHUNK // max(1, self.shape.numel()))
        return (slice(start, start + step) for start in range(0, len(self.data), step))

    def read(self, part: slice) -> Tensor:
        """Their potentials in float64, (n, ..., C)."""
        high, low = self._parts(part)
        x = high.to(torch.float64, copy=True)
        if low is not None:
            x.addcmul_(x, low.to(torch.float64).sub_(_ZERO), value=PRECISION)
        return x.view(-1, *self.shape)

    def write(self, part: slice, x: Tensor) -> None:
        """Replace them by x (n, ..., C), float64."""
        high, low = self._parts(part)
        x = x.flatten(1)
        high.copy_(x)
        if low is not None:
            rest = (x - high).div_(high).mul_(_STEPS).round_().nan_to_num_(0.0, 0.0, 0.0)  # 0 / 0 where the value is 0
            low.copy_(rest.add_(_ZERO))

    def _parts(self, part: slice) -> tuple[Tensor, Tensor | None]:
        rows, size = self.data[part], self.shape.numel()
        return rows[:, :size], None if self.data.dtype == torch.float64 else rows[:, size:].view(torch.int16)[:, :size]

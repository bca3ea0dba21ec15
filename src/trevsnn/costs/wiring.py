"""Which outputs of a convolution, or of one after another, depend on which inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Wiring:
    """An output depends on an input if it does along all three axes; each (outputs, inputs), 0 or 1."""

    channels: Tensor
    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d, size: Sequence[int]) -> "Wiring":
        """Of a convolution on maps of this size (C, H, W), padded with zeros."""
        group = torch.ones(conv.out_channels // conv.groups, conv.in_channels // conv.groups)
        rows, columns = (_taps(conv, axis, size[1 + axis]) for axis in (0, 1))
        return cls(torch.block_diag(*[group] * conv.groups), rows, columns)

    def then(self, other: "Wiring") -> "Wiring":
        """Of a convolution after this one, from the inputs of this one: the wiring of the two merged."""
        pairs = (self.channels, other.channels), (self.rows, other.rows), (self.columns, other.columns)
        return Wiring(*((second @ first).clamp_(max=1) for first, second in pairs))

    @property
    def positions(self) -> int:
        """Places of the output map."""
        return len(self.rows) * len(self.columns)

    def operations(self, inputs: Tensor) -> float:
        """Number of (input, output) pairs, each input (C, H, W) counted as often as the number there says."""
        ways = (axis.sum(0).double() for axis in (self.channels, self.rows, self.columns))
        return float(torch.einsum("chw,c,h,w->", inputs.cpu().double(), *ways))


def _taps(conv: nn.Conv2d, axis: int, size: int) -> Tensor:
    """(outputs, inputs) along rows (axis 0) or columns (axis 1)."""
    kernel = conv.kernel_size[axis]
    stride = conv.stride[axis]
    padding = int(conv.padding[axis])
    outputs = (size + 2 * padding - kernel) // stride + 1
    taps = torch.arange(size) + padding - stride * torch.arange(outputs)[:, None]
    return ((taps >= 0) & (taps < kernel)).float()

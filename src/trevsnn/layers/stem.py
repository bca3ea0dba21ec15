"""The stem: encodes an image once, (N, in_chans, H, W) -> (N, C, H/4, W/4), float."""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, leaky_relu, pad

from trevsnn.layers.convolution import StandardisedConvolution

STRIDE = 4


def channels_last(x: Tensor) -> Tensor:
    """x in the layout in which the network computes, as depth-wise convolutions are faster in it."""
    return x.contiguous(memory_format=torch.channels_last)


class Stem(nn.Module):
    """7 x 7 stride 2, leaky-relu, 3 x 3 stride 2, both with scaled weight standardisation.

    `negative_slope` of the leaky-relu is 1 by default, which makes the stem linear (see `FoldedStem`).
    """

    def __init__(self, in_chans: int, channels: int):
        super().__init__()
        self.conv1 = StandardisedConvolution(in_chans, channels, 7, stride=2, padding=3)
        self.conv2 = StandardisedConvolution(channels, channels, 3, stride=2, padding=1)
        self.negative_slope = 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(channels_last(x))
        if self.negative_slope != 1.0:
            x = leaky_relu(x, self.negative_slope)
        return self.conv2(x)


class Piece(NamedTuple):
    """A convolution of a part of the image, to be added to the stem's output."""

    conv: nn.Conv2d
    rows: slice
    columns: slice
    """Of the image, without padding."""
    padding: tuple[int, int, int, int]
    """Zeros around that part: top, left, bottom, right (pixels)."""
    at: tuple[int, int]
    """Row and column of the output where its own output begins."""


class FoldedStem(nn.Module):
    """A linear stem as one 11 x 11 stride-4 convolution, the same at the borders too.

    Inside the image the two convolutions are one. At a border the second one reads zeros where it leaves the
    *first one's output*, which no zero-padding of the image reproduces: there the taps that stick out must not
    count. So small convolutions of the strips of image under these taps take them off again, rows by columns
    (`_KINDS`), and at the corners, where both would be taken off twice, add them once.

    Args:
        conv1: the first convolution of a `Stem`, plain, with weights already standardised.
        conv2: the second one, likewise.
    """

    def __init__(self, conv1: nn.Conv2d, conv2: nn.Conv2d):
        super().__init__()
        self.padding = int(conv1.padding[0]) + conv1.stride[0] * int(conv2.padding[0])
        self.parts = nn.ModuleDict(
            {f"{rows}_{columns}": _compose(conv1, conv2, rows, columns) for rows, columns in product(_KINDS, _KINDS)}
        )

    def forward(self, x: Tensor) -> Tensor:
        along_rows, along_columns = (self._segments(size) for size in x.shape[-2:])
        x = pad(channels_last(x), [self.padding] * 4)
        out = self.parts["all_all"](x)
        for rows, columns in product(along_rows, along_columns):
            if (rows, columns) != ("all", "all"):
                (top, bottom), (left, right) = along_rows[rows], along_columns[columns]
                out[:, :, bottom, right] += self.parts[f"{rows}_{columns}"](x[:, :, top, left])
        return out

    def pieces(self, height: int, width: int) -> list[Piece]:
        """What `forward` adds up for an image of this size: the whole image first, then the borders."""
        along_rows, along_columns = self._segments(height), self._segments(width)
        pieces = []
        for rows, columns in product(along_rows, along_columns):
            (vertical, bottom), (horizontal, right) = along_rows[rows], along_columns[columns]
            row_slice, above, below = self._within(vertical, height)
            column_slice, before, after = self._within(horizontal, width)
            padding = (above, before, below, after)
            at = (bottom.start or 0, right.start or 0)
            pieces.append(Piece(self.parts[f"{rows}_{columns}"], row_slice, column_slice, padding, at))  # type: ignore[arg-type]
        return pieces

    def _within(self, padded: slice, size: int) -> tuple[slice, int, int]:
        """The part of an axis of the padded image that lies on the image, and how far it reaches out at both ends."""
        start, stop, _ = padded.indices(size + 2 * self.padding)
        start, stop = start - self.padding, stop - self.padding
        return slice(max(start, 0), min(stop, size)), max(-start, 0), max(stop - size, 0)

    def _segments(self, size: int) -> dict[str, tuple[slice, slice]]:
        """Along an axis: the kinds that occur, where they read in the padded image, and where they write."""
        inner = (size - 1) // 2 + 1  # size of the first convolution's output
        segments = {"all": (slice(None), slice(None)), "start": (slice(self.padding, self.padding + 2), slice(1))}
        if inner % 2:  # the last output reads past the first convolution's last row
            end = self.padding + 2 * inner
            segments["end"] = slice(end - 3, end), slice((inner - 1) // 2, None)
        return segments


# How a convolution treats the taps of the second one along an axis: which taps, which part of their composition with
# the first one can lie on the image, and the sign.
_KINDS = {
    "all": (slice(None), slice(None), 1),
    "start": (slice(1), slice(5, 7), -1),
    "end": (slice(2, None), slice(4, 7), -1),
}


def _compose(conv1: nn.Conv2d, conv2: nn.Conv2d, rows: str, columns: str) -> nn.Conv2d:
    """conv2 after conv1 as one convolution, of the taps of conv2 that belong to these kinds of rows and columns."""
    (row_taps, top, row_sign), (column_taps, left, column_sign) = _KINDS[rows], _KINDS[columns]
    assert conv1.bias is not None
    assert conv2.bias is not None
    taps = torch.zeros_like(conv2.weight, dtype=torch.float64)
    taps[:, :, row_taps, column_taps] = row_sign * column_sign * conv2.weight.detach()[:, :, row_taps, column_taps]
    # Composing two convolutions is a transposed convolution of the outer kernel by the inner one.
    weight = conv_transpose2d(taps, conv1.weight.detach().double(), stride=conv1.stride)[:, :, top, left]
    bias = taps.sum((2, 3)) @ conv1.bias.detach().double()
    if (rows, columns) == ("all", "all"):
        bias += conv2.bias.detach()
    conv = nn.Conv2d(conv1.in_channels, conv2.out_channels, (weight.shape[2], weight.shape[3]), STRIDE, device="meta")
    conv.weight = nn.Parameter(weight.to(conv1.weight))
    conv.bias = nn.Parameter(bias.to(conv1.weight))
    return conv

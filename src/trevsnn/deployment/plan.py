"""The deployed network as a list of elementary operations, which every format writes in its own words.

Each operation makes one tensor, named like the operation, from tensors made before: `step1_level0_spikes`, for example,
holds the spikes of level 0 at step 1 (counted from 0). The image or clip is `INPUT`, the last operation makes `OUTPUT`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trevsnn.deployment import operations as ops
from trevsnn.deployment.operations import INPUT, OUTPUT, Operation
from trevsnn.layers import Branch, FoldedStem, Fusion, Stem, TwoStreams
from trevsnn.models.cells import Cell
from trevsnn.models.folding import is_folded
from trevsnn.models.network import TRevSNN
from trevsnn.neurons import Neuron


@dataclass(frozen=True)
class Plan:
    """A network for inputs of one size."""

    operations: Sequence[Operation]
    """In the order in which they run."""
    input_shape: tuple[int, ...]
    """(in_chans, H, W)."""
    frames: int | None
    """T, where the input is a clip (T, N, in_chans, H, W); None for images (N, in_chans, H, W)."""

    def __getitem__(self, name: str) -> Operation:
        return next(operation for operation in self.operations if operation.name == name)

    @property
    def key_spikes(self) -> list[str]:
        """The spikes of the key neurons, of every step and level in turn."""
        return [o.name for o in self.operations if isinstance(o, ops.Spikes) and o.key]


def plan_network(folded: TRevSNN, height: int, width: int) -> Plan:
    """The operations of a folded network.

    Args:
        folded: from `TRevSNN.fold()`, on any device.
        height: of image or frame (pixels).
        width: of image or frame (pixels).

    Raises:
        ValueError: for a network that is not folded, one with parts of another kind than `create_model` builds (the
            message names them), or an image that is too small.
    """
    config = folded.config
    if not is_folded(folded):
        raise ValueError("the network has standardised weights still; export the network that fold() returns")
    folded.check_input(torch.empty(config.input_shape(1, height, width), device="meta"))
    writer = _Writer(folded, {id(m): name.replace(".", "_") for name, m in folded.named_modules()})
    writer.write_all(height, width)
    return Plan(writer.operations, (config.in_chans, height, width), config.timesteps if config.frames else None)


@dataclass
class _Writer:
    model: TRevSNN
    names: dict[int, str]
    """Of the network's modules, by their identity; the same for one that several steps share."""

    def __post_init__(self) -> None:
        self.operations: list[Operation] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def write_all(self, height: int, width: int) -> None:
        config = self.model.config
        self.shapes[INPUT] = config.in_chans, height, width
        membranes: list[str] = []
        spikes: list[str] = []
        rates = []
        for t, row in enumerate(self._rows()):
            before = spikes
            membranes_before = membranes
            spikes = []
            membranes = []
            for level, cell in enumerate(row):
                name = f"step{t}_level{level}"
                below = spikes[-1] if level else self._frame(t)
                above = before[level + 1] if t and level + 1 < len(row) else None
                h = self._cell(name, cell, below, above, t)
                if t:
                    decay = _array(self.model.grid.decays[t][level])  # type: ignore[index]
                    leaked = self._add(ops.Leak, f"{name}_leak", membranes_before[level], decay=decay)
                    h = self._sum(f"{name}_membrane", h, leaked)
                membranes.append(h)
                spikes.append(self._add(ops.Spikes, f"{name}_spikes", h, neuron=self.model.grid.neuron, key=True))
            if config.frames or t == config.timesteps - 1:
                rates.append(
                    self._add(ops.SpatialMean, f"step{t}_rates", spikes[-1], shape=(config.channels[-1], 1, 1))
                )
        self._head(self._add(ops.StepMean, "rates", *rates) if config.frames else rates[0])

    def _rows(self) -> Iterator[list[Cell]]:
        for t, row in enumerate(self.model.grid.cells):
            cells: list[Any] = list(row)  # type: ignore[arg-type]
            for level, cell in enumerate(cells):
                _check_kind(cell, Cell, f"the cell of step {t}, level {level}")
                _check_kind(cell.fusion, Fusion, f"a part of the cell of step {t}, level {level}")
                for block in cell.blocks:
                    _check_chain(block, f"a block of the cell of step {t}, level {level}")
            yield cells

    def _frame(self, t: int) -> str:
        """What level 0 receives at step t, before its own stem or convolution."""
        if self.model.config.frames:
            return self._add(ops.Frame, f"frame{t}", INPUT, step=t)
        if "stem" not in self.shapes and self.model.config.input_encoding == "shared":
            self._stem("stem", self.model.stem, INPUT)
        return "stem"

    def _cell(self, name: str, cell: Cell, below: str, above: str | None, t: int) -> str:
        x = self._down(name, cell.fusion.down, below, t)
        if cell.fusion.up is not None:
            assert above is not None, "as the grid gives it"
            up = self._convolve(f"{name}_up", cell.fusion.up, above)
            if self.shapes[up] != self.shapes[x]:
                up = self._enlarged(name, up, *self.shapes[x][1:])
            x = self._sum(f"{name}_fused", x, up)
        if isinstance(cell.blocks, TwoStreams):
            return self._two_streams(name, cell.blocks, x)
        for i, block in enumerate(cell.blocks):
            x = self._sum(f"{name}_block{i}", x, self._branch(f"{name}_block{i}", block, x))  # type: ignore[arg-type]
        return x

    def _two_streams(self, name: str, branches: TwoStreams, x: str) -> str:
        if not branches:
            return x
        channels, height, width = self.shapes[x]
        halves = [
            self._add(ops.Half, f"{name}_half{i}", x, shape=(channels // 2, height, width), last=bool(i))
            for i in (0, 1)
        ]
        streams = [self._add(ops.Round, f"{half}_rounded", half) for half in halves]
        for i, branch in enumerate(branches):
            part = self._branch(f"{name}_block{i}", branch, streams[1 - i % 2])  # type: ignore[arg-type]
            part = self._add(ops.Round, f"{part}_rounded", part)
            streams[i % 2] = self._sum(f"{name}_block{i}", streams[i % 2], part)
        return self._add(ops.Concatenate, f"{name}_joined", *streams, shape=self.shapes[x])

    def _enlarged(self, name: str, up: str, height: int, width: int) -> str:
        """Nearest up-sampling to a size of which up has half, rounded up: what doubling makes too much is the last row
        or column."""
        channels, *half = self.shapes[up]
        shape = channels, 2 * half[0], 2 * half[1]
        up = self._add(ops.Double, f"{name}_doubled", up, shape=shape)
        whole = shape[1:] == (height, width)
        return up if whole else self._crop(f"{name}_enlarged", up, slice(0, height), slice(0, width))

    def _down(self, name: str, down: nn.Module, below: str, t: int) -> str:
        if isinstance(down, nn.Identity):
            return below
        if isinstance(down, (Stem, FoldedStem)):
            return self._stem(f"{name}_stem", down, below)
        if below == "stem" and self.model.config.input_encoding == "grouped":
            channels = self.model.config.channels[0] // self.model.config.timesteps
            group = slice(t * channels, (t + 1) * channels)
            below = self._stem(f"{name}_stem", self.model.stem, INPUT, group)
        return self._convolve(f"{name}_down", down, below)

    def _branch(self, name: str, block: Branch, x: str) -> str:
        for part_name, part in block.chain():
            part_name = f"{name}_{part_name}"
            if isinstance(part, Neuron):
                x = self._add(ops.Spikes, part_name, x, neuron=part)
            else:
                x = self._convolve(part_name, part, x)
        return x

    def _stem(self, name: str, stem: nn.Module, image: str, channels: slice = slice(None)) -> str:
        """The stem, or these channels of its output."""
        if isinstance(stem, Stem):
            inner = self._convolve(f"{name}_inner", stem.conv1, image)
            return self._convolve(name, stem.conv2, inner, channels=channels)
        _check_kind(stem, FoldedStem, "the stem")
        assert isinstance(stem, FoldedStem)
        pieces = stem.pieces(*self.shapes[image][1:])
        out = None
        for i, piece in enumerate(pieces):
            whole = out is None
            source = image if whole else self._crop(f"{name}_strip{i}", image, piece.rows, piece.columns)
            part_name = name if len(pieces) == 1 else f"{name}_part{i}"
            part = self._convolve(part_name, piece.conv, source, piece.padding, channels)
            if out is None:
                out = part
                continue
            part = self._surround(f"{name}_at{i}", part, piece.at, self.shapes[out])
            out = self._sum(name if i == len(pieces) - 1 else f"{name}_sum{i}", out, part)
        assert out is not None, "there is at least the whole image"
        return out

    def _crop(self, name: str, image: str, rows: slice, columns: slice) -> str:
        shape = self.shapes[image][0], rows.stop - rows.start, columns.stop - columns.start
        return self._add(ops.Crop, name, image, shape=shape, rows=rows, columns=columns)

    def _surround(self, name: str, part: str, at: tuple[int, int], shape: tuple[int, ...]) -> str:
        (top, left), (_, height, width) = at, self.shapes[part]
        padding = top, left, shape[1] - top - height, shape[2] - left - width
        return self._add(ops.Surround, name, part, shape=shape, padding=padding)

    def _head(self, pooled: str) -> None:
        if isinstance(self.model.head, nn.Sequential):
            pooled = self._convolve("head", self.model.head[0], pooled)
        else:
            _check_kind(self.model.head, nn.Flatten, "the head")
        self._add(ops.Flatten, OUTPUT, pooled, shape=self.shapes[pooled][:1])

    def _convolve(
        self,
        name: str,
        conv: nn.Module,
        x: str,
        padding: tuple[int, int, int, int] | None = None,
        channels: slice = slice(None),
    ) -> str:
        """These channels of the output of a convolution; its own padding by default."""
        if not isinstance(conv, nn.Conv2d):
            raise ValueError(
                f"{name} is a {type(conv).__name__}, no plain convolution; export the network that fold() returns"
            )
        vertical, horizontal = (int(p) for p in conv.padding)
        top, left, bottom, right = padding = padding or (vertical, horizontal, vertical, horizontal)
        weight, stride = _array(conv.weight)[channels], int(conv.stride[0])
        _, height, width = self.shapes[x]
        shape = (
            len(weight),
            (height + top + bottom - weight.shape[2]) // stride + 1,
            (width + left + right - weight.shape[3]) // stride + 1,
        )
        part = "" if channels == slice(None) else f"_{channels.start}"
        return self._add(
            ops.Convolve,
            name,
            x,
            shape=shape,
            parameters=self.names[id(conv)] + part,
            weight=weight,
            bias=np.zeros(len(weight), np.float32) if conv.bias is None else _array(conv.bias)[channels],
            stride=stride,
            padding=padding,
            groups=conv.groups,
        )

    def _sum(self, name: str, *parts: str) -> str:
        return self._add(ops.Add, name, *parts)

    def _add(self, kind: type[Operation], name: str, *inputs: str, shape: tuple[int, ...] = (), **fields) -> str:
        """Write an operation; its shape is that of its input by default."""
        self.shapes[name] = shape or self.shapes[inputs[0]]
        self.operations.append(kind(name=name, inputs=inputs, shape=self.shapes[name], **fields))
        return name


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


def _check_chain(block: nn.Module, what: str) -> None:
    """Refuse a block whose chain says something else than the block does: it is run on a small map."""
    if not isinstance(block, Branch):
        raise ValueError(f"{what} is a {type(block).__name__}, which cannot be exported: see trevsnn.layers.contract")
    like = next(block.parameters())
    channels = next(part.in_channels for _, part in block.chain() if isinstance(part, nn.Conv2d))
    x = torch.rand((1, channels, 8, 8), generator=torch.Generator().manual_seed(0)).to(like)
    with torch.no_grad():
        branch = block(x)
        for _, part in block.chain():
            x = part(x)
    if not torch.allclose(x, branch, rtol=1e-4, atol=1e-5 * float(branch.abs().max() + 1)):
        raise ValueError(
            f"{what} is a {type(block).__name__}, which cannot be exported: what it computes is not what its chain says"
        )


def _check_kind(module: nn.Module, kind: type[nn.Module], what: str) -> None:
    if type(module) is not kind:
        raise ValueError(
            f"{what} is a {type(module).__name__}, which cannot be exported; a {kind.__name__} can, as create_model "
            "builds it"
        )

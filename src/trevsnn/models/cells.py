"""The cells of a T-RevSNN: what lies between two layers of key neurons, and how subnetworks share it."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from torch import Tensor, nn

from trevsnn.layers import BLOCKS, Branch, ConvNorm, Fusion, StandardisedConvolution, Stem, TwoStreams
from trevsnn.models.config import NetworkConfig
from trevsnn.reversible import Sliced

MIN_SLICE = 2**16
"""Values of a map below which a slice of the batch is not worth cutting."""


class Cell(nn.Module):
    """What level l adds to its membrane potential at step t: the fused inputs through a chain of blocks.

    Fusion has batch statistics; the blocks treat every sample by itself and run in slices of the batch.
    """

    def __init__(self, fusion: Fusion, blocks: nn.ModuleList, slices: int):
        super().__init__()
        self.fusion = fusion
        self.blocks = blocks
        self.slices = slices

    def forward(self, below: Tensor, above: Tensor | None = None) -> Sliced:
        down, up = self.fusion(below, above)
        blocks: Iterable[Branch] = self.blocks  # type: ignore[assignment]
        scales = [block.branch_scale(down) for block in blocks]
        weights = [block.weights() for block in blocks]
        size = max(math.ceil(len(down) / self.slices), math.ceil(MIN_SLICE / down[:1].numel()))
        body = partial(self._finish, [len(own) for own in weights])
        return Sliced(body, [down, up, *scales], [weight for own in weights for weight in own], size)

    def _finish(self, counts: Sequence[int], samples: Sequence[Tensor | None], shared: Sequence[Tensor]) -> Tensor:
        """The blocks; `counts` says how many of the weights belong to each."""
        down, up, *scales = samples
        assert down is not None, "as forward gives it"
        x = Fusion.join(down, up)
        if isinstance(self.blocks, TwoStreams):
            return self.blocks(x, shared, scales)
        weights = iter(shared)
        for block, count, scale in zip(self.blocks, counts, scales, strict=True):
            x = x + block(x, list(islice(weights, count)), scale)
        return x


def build_cells(config: NetworkConfig) -> list[list[Cell]]:
    """cells[t][l]. Even blocks of a cell are their own; odd ones share a part with all subnetworks.

    The two branches of a block with two streams share a part each.
    """
    kind = BLOCKS[config.block]
    most, parts = max(config.blocks_per_cell), 2 if config.two_stream else 1
    stems = _build_stems(config) if config.frames else [nn.Identity()] * config.timesteps
    shared_parts = [
        [[kind.shared_part(channels // parts, config.kernel_size) for _ in range(parts)] for _ in range(most // 2)]
        for channels in config.channels
    ]
    cells = []
    for t, blocks in enumerate(config.blocks_per_cell):
        row = []
        for level in range(len(config.channels)):
            shared = [shared_parts[level][i // 2] if i % 2 else [None] * parts for i in range(blocks)]
            fusion = _build_fusion(config, t, level, stems[t])
            row.append(Cell(fusion, _build_blocks(config, config.channels[level], shared), config.slices))
        cells.append(row)
    return cells


def _build_blocks(config: NetworkConfig, channels: int, shared: Sequence[Sequence[nn.Module | None]]) -> nn.ModuleList:
    """The blocks of a cell; `shared` has for each the part that subnetworks share, or None, two with two streams."""
    rates = [config.drop_path_rate * (i + 1) / len(shared) for i in range(len(shared))]
    width = channels // 2 if config.two_stream else channels
    branches: list[Any] = [
        BLOCKS[config.block](width, config.kernel_size, part, rate, config.residual_scale, config.neuron)
        for parts, rate in zip(shared, rates, strict=True)
        for part in parts
    ]
    return TwoStreams(branches, config.invert_blocks) if config.two_stream else nn.ModuleList(branches)


def _build_stems(config: NetworkConfig) -> list[Stem]:
    """stems[t], for frames."""
    if config.stem_sharing:
        return [Stem(config.in_chans, config.channels[0])] * config.timesteps
    return [Stem(config.in_chans, config.channels[0]) for _ in range(config.timesteps)]


def _build_fusion(config: NetworkConfig, t: int, level: int, stem: nn.Module) -> Fusion:
    """`stem` is what level 0 does with its input."""
    channels, stride = config.channels, config.strides[level]
    if level:
        down: nn.Module = ConvNorm(channels[level - 1], channels[level], 3 if stride > 1 else 1, stride)
    elif config.input_encoding == "grouped":
        down = StandardisedConvolution(channels[0] // config.timesteps, channels[0], 1)
    else:
        down = stem
    has_above = config.fusion and t > 0 and level + 1 < len(channels)
    return Fusion(down, ConvNorm(channels[level + 1], channels[level], 1) if has_above else None)

"""T-RevSNN as a plain PyTorch module: a loop over time and ordinary autograd.

What the library's engine does not enter: PyTorch stores what its operators save. The function is that of
`trevsnn.TRevSNN` with every option at its default, and so is the number of parameters.

Source: Hu et al., "High-Performance Temporal Reversible Spiking Neural Networks with O(L) Training Memory and
O(1) Inference Cost", ICML 2024.
"""

from collections.abc import Sequence

import torch
from timm.layers import ScaledStdConv2d
from torch import Tensor, nn
from torch.nn.functional import interpolate

from trevsnn.models import SpikingNetwork
from trevsnn.models.network import require_trevsnn


def plain(model: SpikingNetwork) -> nn.Module:
    """The network written without this library, with weights of its own.

    Raises:
        ValueError: for a network that has options which the plain one does not.
    """
    config = require_trevsnn(model, ":plain").config
    network = PlainNetwork(config.timesteps, config.channels, config.kernel_size, config.num_classes)
    theirs, ours = (sum(p.numel() for p in module.parameters()) for module in (network, model))
    if theirs != ours or config.frames:
        raise ValueError(":plain is for trevsnn_tiny and trevsnn_small; the plain network lacks the options of others")
    return network


class Spike(torch.autograd.Function):
    """1 where v >= 0.5, else 0; the gradient passes where 0 <= v <= 1."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward((v >= 0) & (v <= 1))
        return (v >= 0.5).to(v.dtype)

    @staticmethod
    def backward(ctx, grad):
        (window,) = ctx.saved_tensors
        return grad * window


class Block(nn.Module):
    """`x + gamma * tail(spike(expand(spike(x))))`, with a tail that is shared (then without gamma) or its own."""

    def __init__(self, channels: int, kernel: int, shared_tail: nn.Module | None = None):
        super().__init__()
        wide = 4 * channels
        self.expand = nn.Sequential(_depthwise(channels, kernel), ScaledStdConv2d(channels, wide, 1))
        self.tail = shared_tail or _tail(channels, kernel)
        self.gamma = None if shared_tail else nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.tail(Spike.apply(self.expand(Spike.apply(x))))
        return x + (branch if self.gamma is None else self.gamma * branch)


class Cell(nn.Module):
    """The fused spikes of the neighbouring levels through two blocks; `alpha` is the level's decay at this step."""

    def __init__(self, down: nn.Module, up: nn.Module | None, channels: int, kernel: int, shared_tail: nn.Module):
        super().__init__()
        self.down = down
        self.up = up
        self.blocks = nn.Sequential(Block(channels, kernel), Block(channels, kernel, shared_tail))
        self.alpha = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def forward(self, below: Tensor, above: Tensor | None) -> Tensor:
        x = self.down(below)
        if self.up is not None:
            feedback = self.up(above)
            x = x + (feedback if feedback.shape == x.shape else interpolate(feedback, size=x.shape[-2:]))
        return self.blocks(x)


class PlainNetwork(nn.Module):
    """Images (N, 3, H, W) -> logits (N, num_classes) of every head, the deployed one last."""

    def __init__(
        self,
        timesteps: int,
        channels: Sequence[int] = (96, 192, 384, 512),
        kernel: int = 5,
        num_classes: int = 1000,
    ):
        super().__init__()
        width = channels[0]
        last = len(channels) - 1
        self.stem = nn.Sequential(
            ScaledStdConv2d(3, width, 7, stride=2, padding=3), ScaledStdConv2d(width, width, 3, stride=2, padding=1)
        )
        tails = [_tail(c, kernel) for c in channels]
        self.cells = nn.ModuleList()
        for t in range(timesteps):
            row = nn.ModuleList()
            for level, c in enumerate(channels):
                down = _conv_norm(channels[level - 1], c, 3 if level < last else 1) if level else nn.Identity()
                up = _conv_norm(channels[level + 1], c, 1) if t and level < last else None
                row.append(Cell(down, up, c, kernel, tails[level]))
            self.cells.append(row)
        heads = min(4, timesteps)
        self.head_steps = [timesteps * (i + 1) // heads - 1 for i in range(heads)]
        self.aux_heads = nn.ModuleList(ScaledStdConv2d(channels[-1], num_classes, 1) for _ in range(heads - 1))
        self.head = nn.Sequential(
            ScaledStdConv2d(channels[-1], num_classes, 1), ScaledStdConv2d(num_classes, num_classes, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        membranes: list[Tensor] = []
        spikes: list[Tensor] = []
        read = []
        for t, row in enumerate(self.cells):
            before, membranes_before = spikes, membranes
            spikes, membranes = [], []
            for level, cell in enumerate(row):  # type: ignore[arg-type]
                above = before[level + 1] if t and level + 1 < len(before) else None
                h = cell(spikes[-1] if level else x, above)
                if t:
                    h = cell.alpha * membranes_before[level] + h
                membranes.append(h)
                spikes.append(Spike.apply(h))
            if t in self.head_steps:
                read.append(membranes[-1].mean((2, 3), keepdim=True))
        read[-1] = spikes[-1].mean((2, 3), keepdim=True)
        return [head(pooled).flatten(1) for head, pooled in zip([*self.aux_heads, self.head], read, strict=True)]


def _depthwise(channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)


def _tail(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(ScaledStdConv2d(4 * channels, channels, 1), _depthwise(channels, kernel))


def _conv_norm(below: int, channels: int, kernel: int) -> nn.Sequential:
    """A 3 x 3 convolution halves the resolution, a 1 x 1 one keeps it."""
    stride = 2 if kernel == 3 else 1
    conv = nn.Conv2d(below, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))

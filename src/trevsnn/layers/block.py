"""The spiking block: a ConvNeXt-like residual unit without batch statistics.

    x + gamma * dw2(pw2(spike(pw1(dw1(spike(x))))))        x: (N, C, H, W), membrane potential

dw is a k x k depth-wise convolution with bias, pw a 1 x 1 convolution with scaled weight standardisation
(C -> 4C and 4C -> C). gamma is a learned scale per channel (ReZero-like), applied to the weights of dw2, or 1. The two
neurons of the block are turned off in time: they keep no membrane potential from one step to the next.

Source: Hu et al., ICML 2024, and the authors' public code.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from trevsnn.layers.contract import Chain, register_block
from trevsnn.layers.convolution import Depthwise, StandardisedConvolution
from trevsnn.neurons import Neuron, cheap

EXPANSION = 4


class BlockTail(nn.Module):
    """`dw2(pw2(x))`, (N, 4C, H, W) -> (N, C, H, W): the half of a block that subnetworks may share."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.pointwise = StandardisedConvolution(EXPANSION * channels, channels, 1)
        self.depthwise = Depthwise(channels, kernel_size)

    def weights(self) -> tuple[Tensor, ...]:
        """Weights and biases as they are applied."""
        return *self.pointwise.weights(), *self.depthwise.weights()

    def forward(self, x: Tensor, *weights: Tensor) -> Tensor:
        weights = weights or self.weights()
        return self.depthwise(self.pointwise(x, *weights[:2]), *weights[2:])


class SpikingBranch(nn.Module):
    """`gamma * dw2(pw2(spike(pw1(dw1(spike(x))))))`, (N, C, H, W) -> (N, C, H, W): what a residual unit adds.

    Args:
        channels: C.
        kernel_size: k of the depth-wise convolutions, odd.
        shared_tail: the second half, shared with other branches; None for one of its own.
        drop_path: probability of dropping the branch of a sample in training.
        residual_scale: learn gamma; a branch with a shared tail has none in any case.
        neuron: the two neurons of the branch; `Neuron()` by default.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        shared_tail: nn.Module | None = None,
        drop_path: float = 0.0,
        residual_scale: bool = True,
        neuron: Neuron | None = None,
    ):
        super().__init__()
        self.depthwise = Depthwise(channels, kernel_size)
        self.pointwise = StandardisedConvolution(channels, EXPANSION * channels, 1)
        self.tail: Any = shared_tail or BlockTail(channels, kernel_size)
        has_gamma = residual_scale and shared_tail is None
        self.gamma = nn.Parameter(torch.ones(channels)) if has_gamma else None
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.neuron = neuron or Neuron()

    def weights(self) -> tuple[Tensor, ...]:
        """Weights and biases of the four convolutions as they are applied, gamma included."""
        weights = *self.depthwise.weights(), *self.pointwise.weights(), *self.tail.weights()
        if self.gamma is None:
            return weights
        *others, weight, bias = weights
        return *others, weight * self.gamma.reshape(-1, 1, 1, 1), bias * self.gamma

    def branch_scale(self, x: Tensor) -> Tensor | None:
        """What the branch of each sample of x is multiplied with, (N, 1, 1, 1); None for 1."""
        if not self.training or isinstance(self.drop_path, nn.Identity):
            return None
        return self.drop_path(x.new_ones(len(x), *[1] * (x.dim() - 1)))

    def forward(self, x: Tensor, weights: Sequence[Tensor] = (), scale: Tensor | None = None) -> Tensor:
        """Args: what `weights` and `branch_scale` return; without weights, the branch calls them itself."""
        if not weights:
            weights, scale = self.weights(), self.branch_scale(x)
        u = cheap(self.depthwise, self.neuron(x), *weights[:2])
        branch = self.tail(self.neuron(self.pointwise(u, *weights[2:4])), *weights[4:])
        return branch if scale is None else branch * scale

    def chain(self) -> Chain:
        """Its neurons and convolutions, named; with gamma only once it is folded."""
        return (
            ("spikes", self.neuron),
            ("dw1", self.depthwise),
            ("pw1", self.pointwise),
            ("wide_spikes", self.neuron),
            ("pw2", self.tail.pointwise),
            ("dw2", self.tail.depthwise),
        )

    def fold(self) -> None:
        """Make gamma part of the last convolution."""
        if self.gamma is not None:
            last = self.tail.depthwise
            last.weight = nn.Parameter((last.weight * self.gamma.reshape(-1, 1, 1, 1)).detach())
            last.bias = nn.Parameter((last.bias * self.gamma).detach())
            self.gamma = None

    @staticmethod
    def shared_part(channels: int, kernel_size: int) -> nn.Module:
        """The second half."""
        return BlockTail(channels, kernel_size)


register_block("convnext", SpikingBranch)

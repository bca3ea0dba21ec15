"""Classifiers on the spatial mean of the last level, (N, C, 1, 1) -> (N, num_classes)."""

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from trevsnn.layers.convolution import StandardisedConvolution


class AuxiliaryHead(nn.Module):
    """One standardised linear layer: intermediate supervision on the mean membrane potential."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.linear = StandardisedConvolution(channels, num_classes, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(pooled).flatten(1)


class SpikeHead(nn.Module):
    """Two standardised linear layers with a leaky-relu between, on the mean of the spikes.

    `negative_slope` is 1 by default: then the two layers are one linear map.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.linear1 = StandardisedConvolution(channels, num_classes, 1)
        self.linear2 = StandardisedConvolution(num_classes, num_classes, 1)
        self.negative_slope = 1.0

    def forward(self, pooled: Tensor) -> Tensor:
        x = self.linear1(pooled)
        if self.negative_slope != 1.0:
            x = leaky_relu(x, self.negative_slope)
        return self.linear2(x).flatten(1)

"""The residual unit of MS-ResNet, whose shortcut carries membrane potentials past the neurons.

    shortcut(x) + norm2(conv2(spike(norm1(conv1(spike(x))))))        x: (N, C_in, H, W), membrane potential

Both convolutions are 3 x 3. The shortcut is x itself, or a strided 1 x 1 convolution with BatchNorm where channels or
resolution change. The neurons are turned off in time: they keep no membrane potential from one step to the next.

Source: Hu et al., "Advancing Spiking Neural Networks Toward Deep Residual Learning", IEEE TNNLS 2024.
"""

from torch import Tensor, nn

from trevsnn.layers.fusion import ConvNorm
from trevsnn.neurons import Neuron


class MembraneShortcutBlock(nn.Module):
    """One residual unit, (N, C_in, H, W) -> (N, C, H / stride, W / stride).

    Args:
        in_channels: C_in.
        channels: C.
        stride: of the first convolution and the shortcut.
        reads_spikes: x is spikes already.
        neuron: the neurons of the unit; `Neuron()` by default.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        reads_spikes: bool = False,
        neuron: Neuron | None = None,
    ):
        super().__init__()
        self.conv1 = ConvNorm(in_channels, channels, 3, stride)
        self.conv2 = ConvNorm(channels, channels, 3)
        same = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if same else ConvNorm(in_channels, channels, 1, stride)
        self.reads_spikes = reads_spikes
        self.neuron = neuron or Neuron()

    def forward(self, x: Tensor) -> Tensor:
        spikes = x if self.reads_spikes else self.neuron(x)
        return self.shortcut(x) + self.conv2(self.neuron(self.conv1(spikes)))

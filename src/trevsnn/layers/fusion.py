"""Multi-level fusion: what a level receives from the level below now and from the level above before.

    down(below) + up(above)

down turns spikes of the level below into this level's channels and resolution (convolution, BatchNorm); up
does so for the spikes of the level above (1 x 1 convolution, BatchNorm, nearest up-sampling).
"""

from torch import Tensor, nn
from torch.nn.functional import interpolate


class ConvNorm(nn.Sequential):
    """Convolution without bias, then BatchNorm: (N, C_in, H, W) -> (N, C_out, H', W')."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)


class Fusion(nn.Module):
    """The two parts of `down(below) + up(above)`; `join` brings up(above) to down(below)'s resolution and adds them.

    Args:
        down: module for the input from below.
        up: module for the spikes from above, None where there is no such input.
    """

    def __init__(self, down: nn.Module, up: nn.Module | None):
        super().__init__()
        self.down = down
        self.up = up

    def forward(self, below: Tensor, above: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """down(below), and up(above) in its own resolution (None where there is no such input)."""
        return self.down(below), None if self.up is None else self.up(above)

    @staticmethod
    def join(down: Tensor, up: Tensor | None) -> Tensor:
        """The sum of the two parts."""
        if up is None:
            return down
        if up.shape[-2:] != down.shape[-2:]:
            up = interpolate(up, size=down.shape[-2:], mode="nearest")
        return down + up

"""Networks to compare with, trained by ordinary back-propagation through time: those of SpikingJelly's model zoo."""

from trevsnn.models.baselines.presets import BASELINES
from trevsnn.models.baselines.spikingjelly import (
    MSResNet,
    SEWResNet,
    SpikeDrivenTransformer,
    SpikingJellyNetwork,
    spikingjelly_is_installed,
)

__all__ = [
    "BASELINES",
    "MSResNet",
    "SEWResNet",
    "SpikeDrivenTransformer",
    "SpikingJellyNetwork",
    "spikingjelly_is_installed",
]

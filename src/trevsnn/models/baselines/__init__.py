"""Networks to compare with, trained by ordinary back-propagation through time: those of SpikingJelly's model zoo."""

from trevsnn.models.baselines.presets import BASELINES
from trevsnn.models.baselines.spikingjelly import (
    MSResNet,
    MSResNetConfig,
    SEWResNet,
    SpikeDrivenTransformer,
    SpikingJellyNetwork,
    TransformerConfig,
    spikingjelly_is_installed,
)

__all__ = [
    "BASELINES",
    "MSResNet",
    "MSResNetConfig",
    "SEWResNet",
    "SpikeDrivenTransformer",
    "SpikingJellyNetwork",
    "TransformerConfig",
    "spikingjelly_is_installed",
]

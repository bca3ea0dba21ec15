"""Building blocks of the T-RevSNN family: stem, fusion, spiking block, heads."""

from trevsnn.layers.block import BlockTail, SpikingBlock
from trevsnn.layers.convolution import Convolution, StandardisedConvolution
from trevsnn.layers.fusion import ConvNorm, Fusion
from trevsnn.layers.head import AuxiliaryHead, SpikeHead
from trevsnn.layers.ms_block import MembraneShortcutBlock
from trevsnn.layers.stem import FoldedStem, Stem

__all__ = [
    "AuxiliaryHead",
    "BlockTail",
    "ConvNorm",
    "Convolution",
    "FoldedStem",
    "Fusion",
    "MembraneShortcutBlock",
    "SpikeHead",
    "SpikingBlock",
    "StandardisedConvolution",
    "Stem",
]

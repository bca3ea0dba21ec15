"""Building blocks of the networks: stem, fusion, blocks, heads."""

from trevsnn.layers.block import BlockTail, SpikingBlock, SpikingBranch
from trevsnn.layers.convolution import Convolution, StandardisedConvolution
from trevsnn.layers.fusion import ConvNorm, Fusion
from trevsnn.layers.head import AuxiliaryHead, SpikeHead
from trevsnn.layers.ms_block import MembraneShortcutBlock
from trevsnn.layers.stem import FoldedStem, Stem
from trevsnn.layers.two_stream import TwoStreams

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
    "SpikingBranch",
    "StandardisedConvolution",
    "Stem",
    "TwoStreams",
]

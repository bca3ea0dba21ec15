"""Building blocks of the networks: stem, fusion, blocks, heads."""

from trevsnn.layers.block import BlockTail, SpikingBranch
from trevsnn.layers.contract import BLOCKS, Branch, register_block
from trevsnn.layers.convolution import Convolution, StandardisedConvolution
from trevsnn.layers.fusion import ConvNorm, Fusion
from trevsnn.layers.head import AuxiliaryHead, SpikeHead
from trevsnn.layers.ms_block import MembraneShortcutBlock
from trevsnn.layers.stem import FoldedStem, Stem
from trevsnn.layers.two_stream import TwoStreams

__all__ = [
    "BLOCKS",
    "AuxiliaryHead",
    "BlockTail",
    "Branch",
    "ConvNorm",
    "Convolution",
    "FoldedStem",
    "Fusion",
    "MembraneShortcutBlock",
    "SpikeHead",
    "SpikingBranch",
    "StandardisedConvolution",
    "Stem",
    "TwoStreams",
    "register_block",
]

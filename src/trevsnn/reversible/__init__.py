"""The reversible engine: it knows nothing of images, blocks or how many levels a network has."""

from trevsnn.reversible.grid import Memory, Readout, ReversibleGrid, StepState, check_memory
from trevsnn.reversible.guard import ReplayError
from trevsnn.reversible.replay import ReplayableModule, recompute
from trevsnn.reversible.slices import Sliced

__all__ = [
    "Memory",
    "Readout",
    "ReplayError",
    "ReplayableModule",
    "ReversibleGrid",
    "Sliced",
    "StepState",
    "check_memory",
    "recompute",
]

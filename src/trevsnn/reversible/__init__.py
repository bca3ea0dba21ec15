"""The reversible engine: it knows nothing of images, blocks or how many levels a network has."""

from trevsnn.reversible.grid import Readout, ReversibleGrid
from trevsnn.reversible.guard import ReplayError
from trevsnn.reversible.memory import Memory, check_memory, run_once
from trevsnn.reversible.replay import ReplayableModule, recompute
from trevsnn.reversible.slices import Sliced
from trevsnn.reversible.step_state import StepState

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
    "run_once",
]

"""Spiking neurons as pure functions."""

from trevsnn.neurons.codes import dense, pack, unpack
from trevsnn.neurons.masks import THRESHOLD, WINDOW, fires, in_window
from trevsnn.neurons.packing import cheap, packed_activations, same_autocast
from trevsnn.neurons.spike import spike

__all__ = [
    "THRESHOLD",
    "WINDOW",
    "cheap",
    "dense",
    "fires",
    "in_window",
    "pack",
    "packed_activations",
    "same_autocast",
    "spike",
    "unpack",
]

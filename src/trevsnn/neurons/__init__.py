"""Spiking neurons as pure functions."""

from trevsnn.neurons.codes import dense
from trevsnn.neurons.neuron import Neuron, spike
from trevsnn.neurons.packing import cheap, packed_activations, same_autocast

__all__ = ["Neuron", "cheap", "dense", "packed_activations", "same_autocast", "spike"]

"""Temporal-reversible spiking neural networks: exact gradients in O(L) training memory."""

from trevsnn.models import StreamingClassifier, TRevSNN, convert_official, create_model, list_models
from trevsnn.reversible import ReversibleGrid
from trevsnn.training import intermediate_supervision_loss, temporal_efficient_training_loss

__version__ = "0.1.0"

__all__ = [
    "ReversibleGrid",
    "StreamingClassifier",
    "TRevSNN",
    "convert_official",
    "create_model",
    "intermediate_supervision_loss",
    "list_models",
    "temporal_efficient_training_loss",
]

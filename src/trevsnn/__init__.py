"""Temporal-reversible spiking neural networks: exact gradients in O(L) training memory.

Importing this package imports PyTorch and registers the networks with timm, so that `timm.create_model` knows them. In
the process of the command line nobody waits for that: there, the names below are imported when they are first used, and
`trevsnn --help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING


def _is_command_line() -> bool:
    """Whether this process is the program `trevsnn`, or `python -m trevsnn`."""
    program = Path(*sys.argv[:1]).name
    if program == "-m":  # so long as Python looks for the module, whose name stands before the arguments
        return sys.orig_argv[-len(sys.argv) :][:1] == ["trevsnn"]
    return program in ("trevsnn", "trevsnn.exe")


if TYPE_CHECKING or not _is_command_line():
    from trevsnn.models import StreamingClassifier, TRevSNN, convert_official, create_model, list_models
    from trevsnn.reversible import ReversibleGrid
    from trevsnn.training import intermediate_supervision_loss, temporal_efficient_training_loss
else:
    from trevsnn._util.lazy import imported_on_use

    __getattr__, __dir__ = imported_on_use(
        __name__,
        models="StreamingClassifier TRevSNN convert_official create_model list_models",
        reversible="ReversibleGrid",
        training="intermediate_supervision_loss temporal_efficient_training_loss",
    )

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

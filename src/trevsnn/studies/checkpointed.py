"""PyTorch's own activation checkpointing of a T-RevSNN's cells, to compare reversibility with."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trevsnn.models import SpikingNetwork
from trevsnn.models.network import require_trevsnn
from trevsnn.reversible import Sliced


def checkpointed(model: SpikingNetwork) -> nn.Module:
    """A T-RevSNN that stores everything, with each of its cells under a checkpoint from now on (not re-entrant).

    Raises:
        ValueError: for a network of another family.
    """
    network = require_trevsnn(model, ":checkpointed")
    network.set_memory("stored")
    for row in network.grid.cells:
        assert isinstance(row, nn.ModuleList)
        for level, cell in enumerate(row):
            row[level] = _CheckpointedCell(cell)
    return network


class _CheckpointedCell(nn.Module):
    """A cell under a checkpoint, which without further ado would count its statistics twice."""

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        contexts = partial(_first_and_second_run, self.cell)

        def run(below: Tensor, above: Tensor | None) -> Tensor:
            out = self.cell(below, above)
            return out.run() if isinstance(out, Sliced) else out

        return checkpoint(run, below, above, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _first_and_second_run(module: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), _frozen_statistics(module)


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Running means and variances stay as they are; the batch is normalised by its own."""
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

"""The networks that `training_step.py` compares, each by its name.

Of SpikingJelly's levels of memory optimisation, level 0 is the contestant without a level in its name.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, get_args

import torch
from plain_network import PlainNetwork
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from trevsnn import TRevSNN, create_model, intermediate_supervision_loss
from trevsnn.costs.timed_step import Subject, Task, count_parameters
from trevsnn.models.baselines.memopt import optimise_memory
from trevsnn.reversible import Memory, Sliced

NAME = "trevsnn_small"
LABEL_SMOOTHING = 0.1
BASELINE = "trevsnn-stored"


@dataclass(frozen=True)
class Case(Task):
    """Images, labels and precision, and in how many steps."""

    timesteps: int
    search_limit: float
    """Longest time that a contestant may search for its memory plan (s)."""


supervision_loss = partial(intermediate_supervision_loss, label_smoothing=LABEL_SMOOTHING)


def ours(case: Case, memory: str) -> Subject:
    """The library's network in one of its memory settings."""
    return Subject(create_model(NAME, timesteps=case.timesteps, memory=memory), supervision_loss)


class CheckpointedCell(nn.Module):
    """A cell under PyTorch's activation checkpointing, which without further ado would count its statistics twice."""

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


def checkpointed(case: Case) -> Subject:
    """The library's network with everything stored, but each cell under PyTorch's own checkpoint."""
    network = create_model(NAME, timesteps=case.timesteps, memory="stored")
    assert isinstance(network, TRevSNN)
    for row in network.grid.cells:
        assert isinstance(row, nn.ModuleList)
        for level, cell in enumerate(row):
            row[level] = CheckpointedCell(cell)
    return Subject(network, supervision_loss)


def plain(case: Case) -> Subject:
    """The same network written without the library."""
    network = PlainNetwork(case.timesteps)
    with torch.device("meta"):
        same = create_model(NAME, timesteps=case.timesteps)
    assert count_parameters(network) == count_parameters(same), "not the network that it is compared with"
    return Subject(network, supervision_loss)


@dataclass(frozen=True)
class Zoo:
    """A network of SpikingJelly's model zoo: its module, its name there, its options."""

    module: str
    network: str
    options: dict[str, Any]


def spikingjelly(case: Case, entry: Zoo, level: int) -> Subject:
    """A network of SpikingJelly's model zoo, its memory optimised to a level, 0 to 4.

    Raises:
        TimeoutError: when the search for a memory plan takes longer than the case allows.
    """
    package = "spikingjelly.activation_based"
    zoo = import_module(f"{package}.model.{entry.module}")
    functional = import_module(f"{package}.functional")
    model: nn.Module = getattr(zoo, entry.network)(T=case.timesteps, **entry.options).to(case.device)

    def forward(model: nn.Module) -> Tensor:
        with case.autocast():
            return model(case.images)

    optimise_memory(model, forward, level, case.search_limit)
    return Subject(model, partial(cross_entropy, label_smoothing=LABEL_SMOOTHING), functional.reset_net)


_ZOO = {
    "ms_resnet34": Zoo("ms_resnet", "ms_resnet34", {}),
    "sdt_512": Zoo("spike_driven_transformer", "SpikeDrivenTransformer", {"embed_dims": 512}),
}

CONTESTANTS: dict[str, Callable[[Case], Subject]] = {
    **{f"trevsnn-{memory}": partial(ours, memory=memory) for memory in get_args(Memory)},
    "trevsnn-checkpointed": checkpointed,
    "plain-pytorch": plain,
    **{
        f"{name}-memopt{level}" if level else name: partial(spikingjelly, entry=entry, level=level)
        for name, entry in _ZOO.items()
        for level in range(5)
    },
}
"""Builders by name."""

LEGEND = f"""\
- `trevsnn-...`: `{NAME}` in each memory setting; `-checkpointed` is `stored` with PyTorch's own activation
  checkpointing (not re-entrant) on every cell.
- `plain-pytorch`: the same network, written without this library.
- `ms_resnet34`, `sdt_512`: SpikingJelly's `ms_resnet34` and `SpikeDrivenTransformer(embed_dims=512)`;
  `-memopt1` to `4`: the same after `memopt.optimize_memory` at this level (level 0 changes nothing).
"""
"""What the names stand for, in Markdown."""

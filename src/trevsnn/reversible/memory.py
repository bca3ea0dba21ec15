"""What a training step keeps for its backward pass: the three memory settings, for all that runs in or before a grid.

- `"stored"`: everything that operators save, as PyTorch does.
- `"packed"`: the same, with bits in place of spikes (`trevsnn.neurons.packing`).
- `"reversible"`: next to nothing; modules run again in the backward pass (`trevsnn.reversible.replay`).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import get_args

import torch
from torch import Tensor, nn

from trevsnn.choices import Memory
from trevsnn.neurons import Neuron, packed_activations
from trevsnn.reversible.replay import ReplayableModule, recompute


def check_memory(memory: str) -> Memory:
    """memory itself.

    Raises:
        ValueError: when it is not a memory setting.
    """
    if memory not in get_args(Memory):
        raise ValueError(f"memory={memory!r} is unknown; choose from {', '.join(get_args(Memory))}")
    return memory  # type: ignore[return-value]


def keeps_everything(memory: Memory) -> bool:
    """Whether PyTorch may save what it wants: in `"stored"`, and where there is no backward pass."""
    return memory == "stored" or not torch.is_grad_enabled()


def keeping(memory: Memory) -> AbstractContextManager[None]:
    """While it is active, what operators save is kept as the setting says."""
    return packed_activations() if memory == "packed" else nullcontext()


def run_once(units: Sequence[nn.Module], x: Tensor, memory: Memory, check_replay: bool, name: str) -> Tensor:
    """`units`, one after the other: what encodes an input before a grid sees it.

    Where the setting does not keep everything, they run again one at a time; but in `"packed"`, if they hold neurons,
    they are packed as the grid is.

    Args:
        units: modules, each called with what the one before it returned.
        x: what the first one receives.
        memory: the setting.
        check_replay: compare what runs again with the first run.
        name: what to call the units in messages.
    """
    if keeps_everything(memory):
        for unit in units:
            x = unit(x)
        return x
    return _run_keeping_less(units, x, memory, check_replay, name)  # type: ignore[call-arg]


@torch.compiler.disable
def _run_keeping_less(units: Sequence[nn.Module], x: Tensor, memory: Memory, check_replay: bool, name: str) -> Tensor:
    if memory == "packed" and any(map(_has_neurons, units)):
        with keeping(memory):
            for unit in units:
                x = unit(x)
            return x
    names = [name] if len(units) == 1 else [f"{name}[{i}]" for i in range(len(units))]
    again = [ReplayableModule(unit, of_unit, check_replay) for unit, of_unit in zip(units, names, strict=True)]

    def one_by_one(x: Tensor) -> Tensor:
        for unit in again:
            x = recompute(unit, x)  # again within what runs again: one unit's activations at a time
        return x

    return recompute(one_by_one, x) if len(again) > 1 else one_by_one(x)


def _has_neurons(module: nn.Module) -> bool:
    return any(isinstance(getattr(part, "neuron", None), Neuron) for part in module.modules())

"""SpikingJelly's own memory optimisation of its networks: checkpoints, and compressed spikes.

`memopt.optimize_memory` gets what SpikingJelly itself gives it (in its `examples/memopt/train.py`, and for distributed
training in `model/sew_resnet.py` and `model/spikformer.py`): as targets the residual blocks, and sequences of
convolution, BatchNorm and neuron; what may be split is a target into its parts, and what may be cut in time are
convolutions and neurons. Level 0 changes nothing. Levels 2 to 4 search by measuring CUDA memory, and refuse to run on
a CPU.
"""

from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any

from torch import nn

from trevsnn.models.baselines.spikingjelly import PACKAGE

_TARGETS: dict[str, tuple[str | type, ...]] = {
    "ms_resnet": ("_MSBlock",),
    "sew_resnet": ("BasicBlock",),
    "spike_driven_transformer": ("_Block", nn.Sequential),
}
"""By module of the zoo; a name is that of a class in it."""

SEARCH_LIMIT = 600.0


def optimise_memory(
    network: nn.Module, forward: Callable[[nn.Module], Any], level: int, search_limit: float = SEARCH_LIMIT
) -> None:
    """Change a network to train in less memory.

    Args:
        network: one of SpikingJelly's zoo, or of this library around one, on the device that it will be trained on.
        forward: runs it on a batch such as it will be trained on.
        level: 0 to 4.
        search_limit: longest time to search for a plan (s).

    Raises:
        TimeoutError: when the search takes longer.
        RuntimeError: by SpikingJelly, for a level above 1 without CUDA.
        ValueError: for a network that is not of the zoo.
    """
    functional, memopt, neuron = (import_module(f"{PACKAGE}.{name}") for name in ("functional", "memopt", "neuron"))
    deadline = monotonic() + search_limit

    def example(network: nn.Module) -> Any:
        if monotonic() > deadline:
            raise TimeoutError(f"no memory plan found within {search_limit:.0f} s")
        functional.reset_net(network)
        return forward(network)

    memopt.optimize_memory(
        network,
        _targets(network),
        example,
        level=level,
        split_fn=lambda module: tuple(module.children()),
        can_chunk=lambda module: isinstance(module, (nn.Conv2d, neuron.BaseNode)),
    )


def _targets(network: nn.Module) -> tuple[type, ...]:
    modules = {type(module).__module__.removeprefix(f"{PACKAGE}.model.") for module in network.modules()}
    for name in modules & set(_TARGETS):
        zoo = import_module(f"{PACKAGE}.model.{name}")
        return tuple(getattr(zoo, target) if isinstance(target, str) else target for target in _TARGETS[name])
    raise ValueError(f"network={type(network).__name__} is none of {', '.join(_TARGETS)}; give one of these")

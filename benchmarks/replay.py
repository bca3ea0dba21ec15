"""What the safeguards of memory="reversible" take of a training step: the search for state, and the comparison of what
runs again.

    .venv/bin/python benchmarks/replay.py

A step is the forward pass, the loss and the backward pass on random images, in float32 on one thread of the CPU. Both
safeguards are a hundredth of it, less than one step differs from the next; so their functions are timed by themselves
within the step, and divided by the rest of it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from statistics import median
from typing import Any

import cyclopts
import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from trevsnn import ReversibleGrid, create_model
from trevsnn._util.table import Table
from trevsnn.costs.machine import describe, named_values
from trevsnn.reversible import guard, nodes
from trevsnn.reversible.state import ModuleState


class SpikingCell(nn.Module):
    """A cell with a neuron of SpikingJelly, which keeps a potential of its own."""

    def __init__(self, below: int, channels: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(below, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.lif = neuron.LIFNode()
        self.out = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        return self.out(self.lif(self.conv(below)))


def cells_with_lif() -> nn.Module:
    """Four steps of two levels."""
    rows = [[SpikingCell(3, 64), SpikingCell(64, 64)] for _ in range(4)]
    return ReversibleGrid(rows, [nn.Parameter(torch.full((64,), 0.5)) for _ in range(2)])


def shipped(name: str, channels: int) -> Callable[[], nn.Module]:
    """Makes a network of the library."""
    return lambda: create_model(name, memory="reversible", in_chans=channels, num_classes=10)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "trevsnn_digits": (shipped("trevsnn_digits", 1), (64, 1, 32, 32)),
    "trev_ms_resnet_digits": (shipped("trev_ms_resnet_digits", 1), (64, 1, 32, 32)),
    "trevsnn_small": (shipped("trevsnn_small", 3), (4, 3, 224, 224)),
    "cells with a LIF neuron": (cells_with_lif, (32, 3, 32, 32)),
}


class Stopwatch:
    """Seconds spent in some functions."""

    def __init__(self) -> None:
        self.seconds = dict[str, float]()
        self._running = False

    def times(self, what: str, owner: Any, *names: str) -> None:
        """Count the time in functions of a module or class, except within others that are counted."""
        for name in names:
            original = vars(owner)[name]
            function = original.__func__ if isinstance(original, staticmethod | classmethod) else original
            call = self.timed(what, function)
            setattr(owner, name, type(original)(call) if function is not original else call)

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if self._running:
                return function(*args, **options)
            self._running = True
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self._running = False
                self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

        return call


def watch_safeguards(stopwatch: Stopwatch) -> None:
    """Time what they consist of, wherever it is called."""
    stopwatch.times("comparison", guard.Fingerprint, "of")
    stopwatch.times("comparison", guard.Watch, "forward")  # backward contains the second run
    stopwatch.times("comparison", guard.Kept, "__init__", "check", "note", "finish")
    stopwatch.times("comparison", guard, "check")
    stopwatch.times("comparison", nodes, "check")
    stopwatch.times("search", ModuleState, "__init__", "forget_unchanged", "modified")
    restored = ModuleState.restored

    @contextmanager
    def timed_restored(state: ModuleState) -> Iterator[None]:
        context = restored(state)
        stopwatch.timed("search", context.__enter__)()
        try:
            yield
        finally:
            stopwatch.timed("search", context.__exit__)(None, None, None)

    ModuleState.restored = timed_restored  # type: ignore[method-assign]


def step(model: nn.Module, images: Tensor) -> float:
    """Seconds of a training step."""
    functional.reset_net(model)
    start = time.perf_counter()
    outputs = model(images)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    return time.perf_counter() - start


def main(repeats: int = 15) -> None:
    """Print the table.

    Args:
        repeats: steps of each network.
    """
    torch.set_num_threads(1)
    stopwatch = Stopwatch()
    watch_safeguards(stopwatch)
    rows = []
    for name, (make, shape) in NETWORKS.items():
        torch.manual_seed(0)
        model = make().train()
        images = torch.randn(shape)
        step(model, images)  # warms up
        times = list[float]()
        parts = {"comparison": list[float](), "search": list[float]()}
        for _ in range(repeats):
            stopwatch.seconds.clear()
            total = step(model, images)
            rest = total - sum(stopwatch.seconds.values())
            times.append(rest)
            for part, values in parts.items():
                values.append(stopwatch.seconds[part] / rest)
        rows.append([name, str(shape[0]), f"{median(times):.3f}", *(spread(values) for values in parts.values())])
    headings = ["network", "batch", "step (s)", "comparison", "search for state"]
    print(named_values(describe(torch.device("cpu"))))
    print(Table.of_lists("", headings, rows).markdown())


def spread(ratios: list[float]) -> str:
    """Their median, and the lowest and highest."""
    return f"{median(ratios):.2%} ({min(ratios):.2%} to {max(ratios):.2%})"


if __name__ == "__main__":
    cyclopts.run(main)

"""What the safeguards of memory="reversible" take of a training step: the search for state, and the comparison of what
runs again.

    .venv/bin/python benchmarks/replay.py

A step is the forward pass, the loss and the backward pass on random images, in float32 on one thread of the CPU. Steps
with and without the comparison (`check_replay`) take turns, so that a drift of the machine hits both alike; a ratio is
that of the processor time of two steps in a row. The search is timed by itself, on the cells of the network, and
divided by the step.
"""

import time
from collections.abc import Callable
from statistics import median

import cyclopts
import torch
from torch import Tensor, nn

from trevsnn import create_model
from trevsnn.analysis.machine import describe, named_values
from trevsnn.markdown import markdown_table
from trevsnn.models import SpikingNetwork
from trevsnn.reversible.state import ModuleState

NETWORKS = (
    ("trevsnn_digits", (64, 1, 32, 32)),
    ("trev_ms_resnet_digits", (64, 1, 32, 32)),
    ("trevsnn_small", (4, 3, 224, 224)),
)


def seconds(function: Callable[..., object], *args: object) -> float:
    """Processor time of one call."""
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def step(model: SpikingNetwork, images: Tensor, check: bool) -> None:
    """A training step with or without the comparison."""
    model.grid.check_replay = check  # type: ignore[union-attr]
    outputs = model(images)
    torch.stack([output.square().mean() for output in outputs]).sum().backward()


def search(cells: list[nn.Module]) -> None:
    """What a step looks for and puts back, cells aside."""
    for cell in cells:
        state = ModuleState(cell)
        state.forget_unchanged()
        with state.restored():
            state.modified()


def main(repeats: int = 15) -> None:
    """Print the table.

    Args:
        repeats: pairs of steps of each network.
    """
    torch.set_num_threads(1)
    rows = []
    for name, shape in NETWORKS:
        torch.manual_seed(0)
        model = create_model(name, memory="reversible", in_chans=shape[1], num_classes=10).train()
        images = torch.randn(shape)
        ratios, times = [], []
        for repeat in range(repeats + 1):  # the first warms up
            order = (True, False) if repeat % 2 else (False, True)
            took = {check: seconds(step, model, images, check) for check in order}
            ratios.append(took[True] / took[False])
            times.append(took[False])
        cells = [cell for row in model.grid.cells for cell in row]  # type: ignore[union-attr]
        looking = median(seconds(search, cells) for _ in range(repeats))
        low, *_, high = sorted(ratios[1:])
        rows.append(
            [
                name,
                str(shape[0]),
                f"{median(times[1:]):.3f}",
                f"{median(ratios[1:]) - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})",
                f"{looking / median(times[1:]):.2%}",
            ]
        )
    headings = ["network", "batch", "step (s)", "comparison", "search for state"]
    print(named_values(describe(torch.device("cpu"))), *markdown_table(headings, rows), sep="\n")


if __name__ == "__main__":
    cyclopts.run(main)

"""Small cells, grids and the comparison of gradients, for the tests of the engine; functions that a page defines."""

import ast
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from timm.layers import DropPath
from tolerances import assert_close, relative_error
from torch import Tensor, nn
from torch.nn.functional import interpolate

from trevsnn.data import LabelledData, PixelSamples, load_dataset
from trevsnn.models import TRevSNN, create_model
from trevsnn.neurons import spike
from trevsnn.reversible import ReversibleGrid, StepState

WIDTH = 5
MIXED = (1.0, 0.9, 0.5, -0.3, 0.01, 1e-3, 0.0)


class ConvCell(nn.Module):
    """Convolution of the spikes below, plus the spikes above enlarged; with or without normalisation."""

    def __init__(
        self,
        below: int,
        above: int,
        norm: bool = True,
        drop: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        self.down = nn.Conv2d(below, WIDTH, 3, 1 if below == 3 else 2, 1)
        self.norm = nn.BatchNorm2d(WIDTH) if norm else nn.Identity()
        self.up = nn.Conv2d(above, WIDTH, 1) if above else None
        self.drop = drop or nn.Identity()
        self.activation = activation

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        x = self.norm(self.down(below))
        if self.up is not None and above is not None:
            x = x + interpolate(self.up(above), size=x.shape[-2:])
        return x + self.drop(self.activation(x))


class LinearCell(nn.Module):
    def __init__(self, below: int, above: int):
        super().__init__()
        self.down = nn.Linear(below, WIDTH)
        self.up = nn.Linear(above, WIDTH, bias=False) if above else None

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        x = self.down(below)
        return x if self.up is None or above is None else x + self.up(above)


class TwiceCell(LinearCell):
    """Uses one weight twice."""

    def __init__(self, below: int, above: int):
        super().__init__(below, above)
        self.twice = nn.Linear(WIDTH, WIDTH)

    def forward(self, below: Tensor, above: Tensor | None = None) -> Tensor:
        return self.twice(self.twice(super().forward(below, above)).tanh())


CELLS = {
    "conv": lambda below, above: ConvCell(below, above, norm=False),
    "batchnorm": ConvCell,
    "spiking": lambda below, above: ConvCell(below, above, activation=spike),
    "dropout": lambda below, above: ConvCell(below, above, drop=nn.Dropout(0.3)),
    "drop_path": lambda below, above: ConvCell(below, above, drop=DropPath(0.4)),
    "linear": LinearCell,
    "twice": TwiceCell,
}


def excite(model: nn.Module) -> nn.Module:
    """Weights and statistics under which the neurons of a small network fire, so that no gradient is 0 for want of
    spikes."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if p.dim() == 4:
            p.data = torch.randn(p.shape, generator=generator) * (1.5 / p[0].numel() ** 0.5)
        elif name.endswith(("bias", "norm.weight", "gain", "gamma")):
            p.data += 0.3 * torch.rand(p.shape, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.data = 0.1 * torch.randn(buffer.shape, generator=generator)
        elif name.endswith("running_var"):
            buffer.data = 0.5 + torch.rand(buffer.shape, generator=generator)
    return model


def small_network(name: str = "trevsnn_tiny", **options) -> TRevSNN:
    """A small network whose neurons fire."""
    torch.manual_seed(0)
    small = {"channels": (8, 8, 12, 12), "num_classes": 5, "kernel_size": 3}
    return excite(create_model(name, **{**small, **options}))


def key_spikes(model: TRevSNN, x: Tensor) -> list[Tensor]:
    """Spikes of the key neurons of a network in eval mode, of every step and level in turn."""
    config, spikes = model.config, []

    def read(state: StepState) -> None:
        spikes.extend(state.spikes(level) for level in range(len(config.channels)))

    with torch.no_grad():
        source = x if config.frames else model.stem(x)
        if config.input_encoding == "grouped":
            model.grid(source.chunk(config.timesteps, dim=1), read)
        else:
            model.grid(list(source) if config.frames else source, read)
    return spikes


def decay_values(decay: float | str | Sequence[float]) -> list[float]:
    """One value per channel: all the same, "mixed", or those given."""
    if isinstance(decay, str):
        return list(islice(cycle(MIXED), WIDTH))
    return list(decay) if isinstance(decay, Sequence) else [decay] * WIDTH


def make_grid(
    cell: str = "linear",
    timesteps: int = 3,
    levels: int = 2,
    decay: float | str | Sequence[float] = 0.5,
    per_step: bool = False,
    reuse_cells: bool = False,
    memory: str = "reversible",
    seed: int = 0,
) -> ReversibleGrid:
    """A grid of random cells. Level 0 takes 3 channels (or features), every level has WIDTH."""
    torch.manual_seed(seed)
    rows = [
        [CELLS[cell](WIDTH if i else 3, WIDTH if (t or reuse_cells) and i + 1 < levels else 0) for i in range(levels)]
        for t in range(1 if reuse_cells else timesteps)
    ]
    # the mixed values are turned by one from level to level and step to step
    values = torch.tensor(decay_values(decay))
    decays = [
        [nn.Parameter(values.roll(t + i) if decay == "mixed" else values.clone()) for i in range(levels)]
        for t in range(timesteps)
    ]
    return ReversibleGrid(rows * timesteps if reuse_cells else rows, decays if per_step else decays[0], memory)


def make_input(cell: str = "linear", batch: int = 3, size: tuple[int, int] = (6, 5), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 3) if cell in ("linear", "twice") else (batch, 3, *size)
    return torch.randn(shape, generator=generator)


def everything(state: StepState) -> Tensor:
    """A readout of spikes and membrane potentials of every level, (N, features)."""
    tensors = [tensor for i, h in enumerate(state.membranes) for tensor in (state.spikes(i), h)]
    return torch.cat([x if x.dim() == 2 else x.flatten(2).mean(2) for x in tensors], dim=1)


def weighted_sum(outputs: Sequence[Tensor]) -> Tensor:
    """A loss to which every element contributes with another weight."""
    parts = [o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype, device=o.device).view_as(o) for o in outputs]
    return sum((part.sum() for part in parts), start=torch.zeros(()))


@dataclass
class Step:
    """What one training step leaves behind."""

    outputs: list[Tensor]
    gradients: dict[str, Tensor | None]  # of the parameters, and of the inputs as "input.0", ...
    buffers: dict[str, Tensor]


def train_step(grid: ReversibleGrid, inputs, memory: str, readout=everything, used=slice(None), seed: int = 1) -> Step:
    """Forward and backward pass of a copy of the grid; the loss reads `outputs[used]`."""
    grid = clone(grid, memory)
    leaves = [x.clone().requires_grad_() for x in ([inputs] if isinstance(inputs, Tensor) else inputs)]
    for seed_generator in (torch.manual_seed, np.random.seed, random.seed):
        seed_generator(seed)
    outputs = grid(leaves[0] if isinstance(inputs, Tensor) else leaves, readout)
    weighted_sum(outputs[used]).backward()
    return Step([output.detach() for output in outputs], gradients(grid, leaves), dict(grid.named_buffers()))


def clone(grid: ReversibleGrid, memory: str) -> ReversibleGrid:
    """A copy in another memory setting, without gradients."""
    grid = deepcopy(grid)
    grid.set_memory(memory)
    grid.zero_grad()
    return grid


def gradients(module: nn.Module, inputs: Sequence[Tensor] = ()) -> dict[str, Tensor | None]:
    """Gradients by the parameter's name, and those of inputs as "input.0", "input.1", ..."""
    named = dict(module.named_parameters()) | {f"input.{i}": x for i, x in enumerate(inputs)}
    return {name: None if x.grad is None else x.grad.clone() for name, x in named.items()}


def assert_same_gradients(
    actual: dict[str, Tensor | None],
    expected: dict[str, Tensor | None],
    decays: str | None = "decay",
    others: str | None = None,
) -> None:
    """Gradients by name: the decays' within a row of TOLERANCES, all others bit for bit, or within a row too."""
    assert actual.keys() == expected.keys()
    assert any(grad is not None and grad.any() for grad in expected.values()), "the loss depends on nothing"
    for name in expected:
        a, b = actual[name], expected[name]
        row = decays if ".decays." in f".{name}" else others
        if a is None or b is None:
            assert a is b, f"{name}: {a} and {b}"
        elif row:
            assert_close(a, b, row, name)
        else:
            assert torch.equal(a, b), f"{name}: relative error {relative_error(a, b):.1e}, not bit-identical"


def assert_same_step(actual: Step, expected: Step, decays: str | None = "decay") -> None:
    """The outputs and buffers are bit-identical, the gradients as in assert_same_gradients."""
    assert len(actual.outputs) == len(expected.outputs)
    assert all(torch.equal(a, b) for a, b in zip(actual.outputs, expected.outputs, strict=True))
    assert actual.buffers.keys() == expected.buffers.keys()
    assert all(torch.equal(buffer, expected.buffers[name]) for name, buffer in actual.buffers.items())
    assert_same_gradients(actual.gradients, expected.gradients, decays)


def assert_memory_settings_agree(grid: ReversibleGrid, inputs, **options) -> None:
    """One training step gives the same outputs, buffers and gradients in every memory setting."""
    stored = train_step(grid, inputs, "stored", **options)
    assert_same_step(train_step(grid, inputs, "packed", **options), stored, decays=None)
    assert_same_step(train_step(grid, inputs, "reversible", **options), stored)


class Reading(nn.Module):
    """A grid with the readout `everything`."""

    def __init__(self, grid: ReversibleGrid):
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.grid(x, everything)


def accumulate_twice(model: nn.Module, inputs: Tensor) -> None:
    """Two backward passes of a mean over the batch."""
    for _ in range(2):
        sum((output.square().mean() for output in model(inputs)), start=torch.zeros(())).backward()


def distributed_gradients(rank: int, world: int, folder: str) -> None:
    """One of `world` processes: gradients of model i of models.pt on its share of the batch, saved as {i}-{rank}.pt."""
    models, inputs = torch.load(f"{folder}/models.pt", weights_only=False)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=world)
    for i, model in enumerate(models):
        accumulate_twice(nn.parallel.DistributedDataParallel(model), inputs.chunk(world)[rank])
        torch.save(gradients(model), f"{folder}/{i}-{rank}.pt")
    torch.distributed.destroy_process_group()


def digits_of(train: int, test: int) -> LabelledData:
    """The first handwritten digits, so many to train and to test on."""
    dataset = load_dataset("digits")
    parts = {
        name: PixelSamples(split.pixels[:count], split.labels[:count])
        for name, split, count in (("train", dataset.train, train), ("test", dataset.test, test))
    }
    return replace(dataset, **parts)


def documented_functions(page: str) -> SimpleNamespace:
    """The functions that the Python examples of a page in docs define, and which modules (`imported`) they are made
    with."""
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    code = "\n".join(block for block in blocks if re.search(r"^def ", block, re.MULTILINE))
    names: dict = {}
    exec(compile(code, page, "exec"), names)
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {getattr(node, "module", None) or node.names[0].name for node in imports}
    return SimpleNamespace(**names, imported=imported)

"""What the layers of a network receive while it runs.

Subnetworks of a T-RevSNN share modules, so there the place of a layer is not in its module: cells and blocks announce
themselves. In a network of another family every weight of an `nn.Conv2d` or `nn.Linear` is one layer, over all its
calls: steps may have modules of their own that share it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trevsnn.costs.wiring import Wiring
from trevsnn.layers import Branch, ConvNorm, FoldedStem, Fusion, SpikeHead, Stem
from trevsnn.layers.contract import Chain
from trevsnn.models import SpikingNetwork, TRevSNN


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a layer is (see `Layer` in `trevsnn.costs.operations`)."""

    step: int | None = None
    level: int | None = None
    block: int | None = None
    name: str = ""

    @property
    def kind(self) -> str:
        """The first word of its name."""
        return self.name.split()[0]


class Received:
    """What the layer at one place received, added up over images and steps.

    Args:
        layer: a convolution, or a linear layer, which counts as one of 1 x 1 pixels.
        x: an input of it.
        after: name of the layer with which it is a linear pair, the first of the two; None where there is none.
        once: all steps receive the same, and it counts once.
    """

    def __init__(self, layer: nn.Module, x: Tensor, after: str | None = None, once: bool = False):
        self.after = after
        self.once = once
        self.samples = 0
        if isinstance(layer, nn.Linear):
            self.conv = nn.Conv2d(layer.in_features, layer.out_features, 1, device="meta")
            self.size = torch.Size((layer.in_features, 1, 1))
        else:
            assert isinstance(layer, nn.Conv2d)
            self.conv = layer
            self.size = x.shape[-3:]
        self.nonzero = torch.zeros(self.size, dtype=torch.int32, device=x.device)
        self.sum = torch.zeros((), dtype=torch.float64, device=x.device)
        self.others = torch.zeros((), dtype=torch.int64, device=x.device)
        self.fractions = torch.zeros((), dtype=torch.int64, device=x.device)

    def add(self, x: Tensor) -> None:
        """A batch, or a slice of one: (N, C, H, W), or (T, N, C, H, W); of a linear layer, (..., C)."""
        x = x.reshape(-1, *self.size)
        self.samples += len(x)
        self.nonzero += (x != 0).sum(0, dtype=torch.int32)
        self.sum += x.sum(dtype=torch.float64)
        self.others += ((x != 0) & (x != 1)).sum()
        self.fractions += ((x < 0) | (x != x.round())).sum()

    def assume(self, mean: float, share: float, binary: bool) -> None:
        """Inputs of this mean, of which this share is other than 0, and which are spikes or not."""
        self.nonzero = torch.full(self.size, share * self.samples, dtype=torch.float64)
        self.sum = torch.tensor(mean * self.samples * self.size.numel(), dtype=torch.float64)
        self.others = torch.tensor(int(not binary))

    def wiring(self) -> Wiring:
        """Of the layer, on maps of this size."""
        return Wiring.of(self.conv, self.size)


@contextmanager
def observed(model: SpikingNetwork) -> Iterator[dict[Place, Received]]:
    """Fills the dictionary while the network runs, in the order in which its layers do."""
    received: dict[Place, Received] = {}
    here = Place()
    handles = []

    def enter(place: Place) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            nonlocal here
            here = place

        return hook

    def note(place: Place, layer: nn.Module, x: Tensor, after: str | None = None, once: bool = False) -> None:
        if place not in received:
            received[place] = Received(layer, x, after, once)
        received[place].add(x)

    def note_here(name: str, after: str | None) -> Callable[..., None]:
        return lambda layer, inputs: note(replace(here, name=name), layer, inputs[0], after)

    def note_module(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            stem = Place(name=f"stem {name}")
            if not received or stem in received:
                note(stem, layer, inputs[0], once=not model.config.frames)
            else:
                note(Place(name=f"{'linear' if isinstance(layer, nn.Linear) else 'conv'} {name}"), layer, inputs[0])

        return hook

    def listen(module: nn.Module, hook: Callable[..., None]) -> None:
        handles.append(module.register_forward_pre_hook(hook))

    if isinstance(model, TRevSNN):
        listen(model, enter(Place()))
        listen(model.head, enter(Place()))
        for step, row in enumerate(model.grid.cells):
            for level, cell in enumerate(row):  # type: ignore[arg-type]
                listen(cell, enter(Place(step=step, level=level)))
                for block, module in enumerate(cell.blocks):
                    listen(module, enter(Place(step=step, level=level, block=block)))
        for conv, named in _named_layers(model).items():
            listen(conv, note_here(*named))
    else:
        names: dict[Tensor, str] = {}
        for name, module in model.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                listen(module, note_module(names.setdefault(module.weight, name)))
    try:
        yield received
    finally:
        for handle in handles:
            handle.remove()


_NAMES: dict[type[nn.Module], dict[str, tuple[str, str | None]]] = {
    Stem: {"conv1": ("stem 1", None), "conv2": ("stem 2", "stem 1")},
    Fusion: {"down": ("fusion down", None), "up": ("fusion up", None)},
    SpikeHead: {"linear1": ("head 1", None), "linear2": ("head 2", "head 1")},
}


def _named_layers(model: TRevSNN) -> dict[nn.Module, tuple[str, str | None]]:
    """Of every convolution its name and, where it is the second of a linear pair, that of the first."""
    names: dict[nn.Module, tuple[str, str | None]] = {}
    for module in model.modules():
        for attribute, named in _NAMES.get(type(module), {}).items():
            child = getattr(module, attribute)
            names[child.conv if isinstance(child, ConvNorm) else child] = named
        if isinstance(module, Branch):
            names |= dict(_in_pairs(module.chain()))
        if isinstance(module, FoldedStem):
            names |= {conv: (f"stem {part}", None) for part, conv in module.parts.items()}
    if model.config.input_encoding == "grouped":
        names |= {row[0].fusion.down: ("stem group", None) for row in model.grid.cells}  # type: ignore[index, union-attr]
    if isinstance(model.head, nn.Sequential):
        names[model.head[0]] = "head", None
    return {module: named for module, named in names.items() if isinstance(module, nn.Conv2d)}


def _in_pairs(chain: Chain) -> Iterator[tuple[nn.Module, tuple[str, str | None]]]:
    """Convolutions that follow each other are taken two by two."""
    first = None
    for name, part in chain:
        if isinstance(part, nn.Conv2d):
            yield part, (name, first)
        first = name if isinstance(part, nn.Conv2d) and first is None else None

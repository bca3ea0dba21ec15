"""Operations of inference and firing rates, layer by layer, of one image or clip.

An operation is an input value other than 0 meeting a weight. Zero padding is no input: where a kernel sticks out of
the map, it costs nothing. `Layer.macs` alone is the usual figure of an ordinary network, in which every tap of the
kernel counts, zeros and padding too. Biases, BatchNorm (part of the convolution before it once folded), residual sums,
pooling and the update of the neurons are not counted.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trevsnn.analysis.wiring import Wiring
from trevsnn.data import BadImages
from trevsnn.data.loading import Batch, readable
from trevsnn.layers import BlockTail, ConvNorm, FoldedStem, Fusion, SpikeHead, SpikingBlock, SpikingBranch, Stem
from trevsnn.models import TRevSNN


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution at one place of the network, and what it received."""

    step: int | None
    """Time step, counted from 0; None outside the grid."""
    level: int | None
    """Level of the grid, counted from 0."""
    block: int | None
    """Block of the cell, counted from 0, with two streams its branch; None in its fusion."""
    name: str
    """Its kind, and which one where there are several."""
    macs: int
    """Multiply-accumulates of an ordinary network: weights times positions."""
    operations: float
    """Inputs other than 0 times the weights that they meet, mean over images."""
    binary: bool
    """Whether all inputs were spikes, 0 or 1."""
    firing_rate: float | None
    """Share of inputs that were spikes, mean over images; of the head, which receives means of spikes, their mean; None
    where the input is neither."""
    silent: float | None
    """Share of inputs that were 0 in every image; None where they are no spikes, or nothing was run."""

    @property
    def kind(self) -> str:
        """One of stem, fusion, dw1, pw1, pw2, dw2, head."""
        return self.name.split()[0]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One layer, or two that are a linear pair: nothing but a linear map is between them."""

    layers: tuple[Layer, ...]
    merged: float | None
    """Operations of the two merged into one layer, mean over images; None for one layer."""


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Of a whole network."""

    chains: tuple[Chain, ...]
    """In the order in which they are computed."""
    images: int
    """How many were run; 0 where the firing rate is assumed."""

    @property
    def layers(self) -> list[Layer]:
        """Of all chains."""
        return [layer for chain in self.chains for layer in chain.layers]


def measure_operations(model: TRevSNN, batches: Iterable[Batch], bad: BadImages | None = None) -> Operations:
    """Run a network in eval mode over batches, on the device that it is on.

    One number is kept per input of each layer, however many images there are.

    Args:
        model: the network, folded or not.
        batches: `evaluation_batches`.
        bad: takes note of images that could not be read; by default the first stops.

    Raises:
        BadImageError: for an image that cannot be read, unless they are listed.
        ValueError: when none can be read.
    """
    device, training, images, bad = next(model.parameters()).device, model.training, 0, bad or BadImages()
    model.eval()
    try:
        with torch.inference_mode(), _recording(model) as received:
            for pixels, labels, _ in readable(batches, bad):
                model(pixels.to(device, non_blocking=True))
                images += len(labels)
    finally:
        model.train(training)
    if not images:
        raise ValueError("there is no image to run that can be read")
    return Operations(chains=_chains(received, images, _is_linear(model)), images=images)


def assume_operations(model: TRevSNN, input_size: tuple[int, int, int], firing_rate: float) -> Operations:
    """As if every neuron of the network fired at one rate and no other input were 0; only shapes are run.

    The border that a folded stem adds to the image counts as image here.

    Args:
        model: the network, folded or not.
        input_size: (in_chans, H, W).
        firing_rate: share of the neurons that fire, 0 to 1.

    Raises:
        ValueError: for another rate, or an input that does not fit.

    Example:
        >>> from trevsnn import create_model
        >>> layers = assume_operations(create_model("trevsnn_digits"), (1, 32, 32), 0.1).layers
        >>> [layer.macs for layer in layers if layer.kind == "stem"]
        [301056, 331776]
    """
    if not 0 <= firing_rate <= 1:
        raise ValueError(f"firing_rate={firing_rate!r} must be from 0 to 1; give 0.1 for one neuron in ten")
    shapes = copy.deepcopy(model).to("meta", torch.float32).eval()
    with torch.inference_mode(), _recording(shapes) as received:
        shapes(torch.empty(model.config.input_shape(1, *input_size[1:]), device="meta"))
    for place, record in received.items():
        first, kind = _first_of_pair(place) not in received, place.name.split()[0]
        spikes = first and kind not in ("stem", "head")
        record.assume(firing_rate, share=firing_rate if spikes else 1.0, binary=spikes)
    return Operations(chains=_chains(received, 1, _is_linear(model), assumed=True), images=0)


@dataclass(frozen=True, kw_only=True)
class _Place:
    step: int | None = None
    level: int | None = None
    block: int | None = None
    name: str = ""


class _Received:
    """What the layer at one place received, added up over images."""

    def __init__(self, conv: nn.Conv2d, x: Tensor):
        self.conv, self.size = conv, x.shape[1:]
        self.nonzero = torch.zeros(self.size, dtype=torch.int32, device=x.device)
        self.sum = torch.zeros((), dtype=torch.float64, device=x.device)
        self.others = torch.zeros((), dtype=torch.int64, device=x.device)

    def add(self, x: Tensor) -> None:
        """A batch, or a slice of one, (N, C, H, W)."""
        self.nonzero += (x != 0).sum(0, dtype=torch.int32)
        self.sum += x.sum(dtype=torch.float64)
        self.others += ((x != 0) & (x != 1)).sum()

    def assume(self, mean: float, share: float, binary: bool) -> None:
        """One image with this mean, this share of inputs other than 0, and these spikes or not."""
        self.nonzero = torch.full(self.size, share, dtype=torch.float64)
        self.sum = torch.tensor(mean * self.nonzero.numel(), dtype=torch.float64)
        self.others = torch.tensor(int(not binary))

    def wiring(self) -> Wiring:
        return Wiring.of(self.conv, self.size)

    def layer(self, place: _Place, images: int, assumed: bool) -> Layer:
        wiring, binary = self.wiring(), not self.others
        return Layer(
            step=place.step,
            level=place.level,
            block=place.block,
            name=place.name,
            macs=self.conv.weight.numel() * wiring.positions,
            operations=wiring.operations(self.nonzero) / images,
            binary=binary,
            firing_rate=float(self.sum) / images / self.size.numel() if binary or place.name in _POOLED else None,
            silent=float((self.nonzero == 0).double().mean()) if binary and not assumed else None,
        )


_SECOND = {"stem 2": "stem 1", "pw1": "dw1", "dw2": "pw2", "head 2": "head 1"}
"""The second layer of a linear pair, and the first."""
_POOLED = ("head", "head 1")
_OF_BRANCHES = {"depthwise": "dw1", "pointwise": "pw1"}
_NAMES: dict[type[nn.Module], dict[str, str]] = {
    Stem: {"conv1": "stem 1", "conv2": "stem 2"},
    SpikingBlock: _OF_BRANCHES,
    SpikingBranch: _OF_BRANCHES,
    BlockTail: {"pointwise": "pw2", "depthwise": "dw2"},
    Fusion: {"down": "fusion down", "up": "fusion up"},
    SpikeHead: {"linear1": "head 1", "linear2": "head 2"},
}


@contextmanager
def _recording(model: TRevSNN) -> Iterator[dict[_Place, _Received]]:
    """Fills the dictionary while the network runs, in the order in which its layers do.

    Subnetworks share modules, so the place of a layer is not in its module: cells and blocks announce themselves.
    """
    received: dict[_Place, _Received] = {}
    here, handles = _Place(), []

    def enter(place: _Place) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            nonlocal here
            here = place

        return hook

    def record(name: str) -> Callable[..., None]:
        def hook(conv: nn.Module, inputs: tuple[Any, ...]) -> None:
            place, x = replace(here, name=name), inputs[0]
            assert isinstance(conv, nn.Conv2d)
            if place not in received:
                received[place] = _Received(conv, x)
            received[place].add(x)

        return hook

    def listen(module: nn.Module, hook: Callable[..., None]) -> None:
        handles.append(module.register_forward_pre_hook(hook))

    listen(model, enter(_Place()))
    listen(model.head, enter(_Place()))
    for step, row in enumerate(model.grid.cells):
        for level, cell in enumerate(row):  # type: ignore[arg-type]
            listen(cell, enter(_Place(step=step, level=level)))
            for block, module in enumerate(cell.blocks):
                listen(module, enter(_Place(step=step, level=level, block=block)))
    for conv, name in _named_layers(model).items():
        listen(conv, record(name))
    try:
        yield received
    finally:
        for handle in handles:
            handle.remove()


def _named_layers(model: TRevSNN) -> dict[nn.Module, str]:
    names: dict[nn.Module, str] = {}
    for module in model.modules():
        for attribute, name in _NAMES.get(type(module), {}).items():
            child = getattr(module, attribute)
            names[child.conv if isinstance(child, ConvNorm) else child] = name
        if isinstance(module, FoldedStem):
            names |= {conv: f"stem {part}" for part, conv in module.parts.items()}
    if model.config.input_encoding == "grouped":
        names |= {row[0].fusion.down: "stem group" for row in model.grid.cells}  # type: ignore[index, union-attr]
    if isinstance(model.head, nn.Sequential):
        names[model.head[0]] = "head"
    return {module: name for module, name in names.items() if isinstance(module, nn.Conv2d)}


def _is_linear(model: TRevSNN) -> bool:
    """Whether the leaky-relu of stem and head lets everything pass."""
    return all(module.negative_slope == 1 for module in model.modules() if isinstance(module, (Stem, SpikeHead)))


def _first_of_pair(place: _Place) -> _Place | None:
    return replace(place, name=_SECOND[place.name]) if place.name in _SECOND else None


def _chains(received: dict[_Place, _Received], images: int, linear: bool, assumed: bool = False) -> tuple[Chain, ...]:
    chains: dict[_Place, Chain] = {}
    for place, record in received.items():
        layer, first = record.layer(place, images, assumed), _first_of_pair(place)
        if first is None or not (linear or place.block is not None):
            chains[place] = Chain(layers=(layer,), merged=None)
        else:
            before = received[first]
            merged = before.wiring().then(record.wiring()).operations(before.nonzero) / images
            chains[first] = Chain(layers=(*chains[first].layers, layer), merged=merged)
    return tuple(chains.values())

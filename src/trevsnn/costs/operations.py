"""Operations of inference and firing rates, layer by layer, of one image or clip.

An operation is an input value other than 0 meeting a weight. Zero padding does not count: where a kernel sticks out of
the map, it costs nothing. `Layer.macs` alone is the usual figure of an ordinary network, in which every tap of the
kernel counts, zeros and padding too. Biases, BatchNorm (part of the convolution before it once folded), residual sums,
products of spikes with spikes (a transformer's attention), pooling and the update of the neurons are not counted.

In networks of other families than T-RevSNN a layer's operations are those of all its calls together, at every step as a
rule. Their first convolution counts once, as it sees the same image at each; of clips it counts every frame.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from trevsnn.costs.layer_inputs import Place, Received, observed
from trevsnn.data import BadImages
from trevsnn.data.loading import Batch, readable
from trevsnn.layers import SpikeHead, Stem
from trevsnn.models import SpikingNetwork, TRevSNN


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or linear layer at one place of the network, and what it received."""

    step: int | None
    """Time step, counted from 0; None outside the grid, and so for level and block."""
    level: int | None
    """Level of the grid, counted from 0."""
    block: int | None
    """Block of the cell, counted from 0, with two streams its branch; None in its fusion."""
    name: str
    """Its kind, and which one where there are several; in other networks than T-RevSNN, the name of its module, the
    first where several share their weight."""
    macs: int
    """Multiply-accumulates of an ordinary network: weights times positions."""
    operations: float
    """Inputs other than 0 times the weights that they meet, mean over images."""
    binary: bool
    """Whether all inputs were spikes, 0 or 1."""
    firing_rate: float | None
    """Share of inputs that were spikes, or sums of spikes, mean over images; of the head and of linear layers, which
    receive means of spikes, their mean; None where the input is none of these."""
    silent: float | None
    """Share of inputs that were 0 in every image; None where they are not spikes, or nothing was run."""
    always: float | None
    """Share of inputs that were spikes in every image; None as for `silent`."""

    @property
    def kind(self) -> str:
        """One of stem, fusion, head, or what the chain of its block calls it (dw1, pw1, pw2, dw2); of one without a
        grid stem, conv, linear."""
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


def measure_operations(model: SpikingNetwork, batches: Iterable[Batch], bad: BadImages | None = None) -> Operations:
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
    device = next(model.parameters()).device
    training = model.training
    images = 0
    bad = bad or BadImages()
    model.eval()
    try:
        with torch.inference_mode(), observed(model) as received:
            for pixels, labels, _ in readable(batches, bad):
                model(pixels.to(device, non_blocking=True))
                images += len(labels)
    finally:
        model.train(training)
    if not images:
        raise ValueError("there is no image to run that can be read")
    return Operations(chains=_chains(received, images, _is_linear(model)), images=images)


def assume_operations(model: SpikingNetwork, input_size: tuple[int, int, int], firing_rate: float) -> Operations:
    """As if every neuron of the network fired at one rate and no other input were 0.

    Of a T-RevSNN only shapes are run, and the border that a folded stem adds to the image counts as image. Which layers
    of another network receive spikes, two random images tell; a sum of spikes is assumed to be other than 0 at the
    same rate.

    Args:
        model: the network, folded or not.
        input_size: (in_chans, H, W).
        firing_rate: share of the neurons that fire, 0 to 1.

    Raises:
        ValueError: for another rate, or an input that does not fit.

    Examples:
        >>> from trevsnn import create_model
        >>> layers = assume_operations(create_model("trevsnn_digits"), (1, 32, 32), 0.1).layers
        >>> [layer.macs for layer in layers if layer.kind == "stem"]
        [301056, 331776]
    """
    check_firing_rate(firing_rate)
    trial, x = _trial(model, input_size)
    with torch.inference_mode(), observed(trial) as received:
        trial(x)
    for place, layer_input in received.items():
        spikes, rated = _receives_spikes(place, layer_input, received)
        layer_input.assume(firing_rate, share=firing_rate if rated else 1.0, binary=spikes)
    images = x.shape[1 if model.config.frames else 0]
    return Operations(chains=_chains(received, images, _is_linear(model), assumed=True), images=0)


def check_firing_rate(firing_rate: float) -> None:
    """Refuse one that is not a share.

    Raises:
        ValueError: with what to give.
    """
    if not 0 <= firing_rate <= 1:
        raise ValueError(f"firing_rate={firing_rate!r} must be from 0 to 1; give 0.1 for one neuron in ten")


def _trial(model: SpikingNetwork, input_size: tuple[int, int, int]) -> tuple[SpikingNetwork, Tensor]:
    """A copy of the network and an input that show what its layers receive; of a T-RevSNN without values."""
    if isinstance(model, TRevSNN):
        shape = model.config.input_shape(1, *input_size[1:])
        return copy.deepcopy(model).to("meta", torch.float32).eval(), torch.empty(shape, device="meta")
    trial = copy.deepcopy(model).to("cpu", torch.float32).eval()
    for module in trial.modules():
        if isinstance(module, _BatchNorm):
            module.train()  # by the batch's own statistics, the neurons of untrained networks fire as well
    shape = model.config.input_shape(2, *input_size[1:])
    return trial, torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _receives_spikes(place: Place, layer_input: Received, received: dict[Place, Received]) -> tuple[bool, bool]:
    """Whether the layer receives spikes alone, and whether it does or receives sums of them."""
    if place.step is None and place.kind == "conv":  # of a network without a grid
        return not layer_input.others, not layer_input.fractions
    spikes = _first_of_pair(place, layer_input) not in received and place.kind not in ("stem", "head", "linear")
    return spikes, spikes


_POOLED = ("head", "head 1")


def _is_linear(model: SpikingNetwork) -> bool:
    """Whether the leaky-relu of stem and head lets everything pass."""
    return all(module.negative_slope == 1 for module in model.modules() if isinstance(module, (Stem, SpikeHead)))


def _first_of_pair(place: Place, layer_input: Received) -> Place | None:
    return None if layer_input.after is None else replace(place, name=layer_input.after)


def _layer(place: Place, layer_input: Received, images: int, assumed: bool) -> Layer:
    wiring = layer_input.wiring()
    binary = not layer_input.others
    counted = layer_input.samples if layer_input.once else images
    values = layer_input.samples * layer_input.size.numel()
    rate = None
    if place.name in _POOLED or place.kind == "linear":
        rate = float(layer_input.sum) / values
    elif binary or (place.kind == "conv" and not layer_input.fractions):
        rate = float(layer_input.nonzero.sum(dtype=torch.float64)) / values
    return Layer(
        step=place.step,
        level=place.level,
        block=place.block,
        name=place.name,
        macs=layer_input.conv.weight.numel() * wiring.positions * layer_input.samples // counted,
        operations=wiring.operations(layer_input.nonzero) / counted,
        binary=binary,
        firing_rate=rate,
        silent=_share(layer_input.nonzero == 0) if binary and not assumed else None,
        always=_share(layer_input.nonzero == layer_input.samples) if binary and not assumed else None,
    )


def _share(where: Tensor) -> float:
    return float(where.double().mean())


def _chains(received: dict[Place, Received], images: int, linear: bool, assumed: bool = False) -> tuple[Chain, ...]:
    chains: dict[Place, Chain] = {}
    for place, layer_input in received.items():
        layer = _layer(place, layer_input, images, assumed)
        first = _first_of_pair(place, layer_input)
        if first is None or not (linear or place.block is not None):
            chains[place] = Chain(layers=(layer,), merged=None)
        else:
            before = received[first]
            merged = before.wiring().then(layer_input.wiring()).operations(before.nonzero) / images
            chains[first] = Chain(layers=(*chains[first].layers, layer), merged=merged)
    return tuple(chains.values())

"""How much of a network's gradient flows through time, and where: the study that motivates temporal reversibility.

A spiking neuron hands its membrane potential from step to step, and the gradient goes back along it. That path can be
cut at chosen neurons: the forward pass stays what it is, and of the gradient that part is missing which came through
their memory. With multi-level fusion a key neuron's spikes also reach the level below, one step later; where it is cut,
they carry no gradient back either. Of every layer (convolution or linear) two gradients are compared with those of
uncut back-propagation through time, by their cosine similarity:

- the spatial gradient, of the loss with respect to the layer's output at all steps: the error signal that the layers
  hand down;
- the gradient of its weight, which training uses.

Source: Hu et al., ICML 2024, who found that the spatial gradient hardly changes as long as the last layer of each stage
keeps its temporal gradient.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from trevsnn.data.loading import Batch
from trevsnn.layers import TwoStreams
from trevsnn.models import SpikingNetwork
from trevsnn.models.baselines import SpikingJellyNetwork
from trevsnn.reversible import ReversibleGrid

CUTS = {
    "none": "nowhere",
    "all but last": "everywhere but at the last layer of each stage",
    "only last": "only at the last layer of each stage",
    "all": "everywhere",
}
"""Where the temporal gradient can be cut, in words."""


@dataclass(frozen=True, kw_only=True)
class LayerSimilarity:
    """Cosine similarity of a layer's gradients with the uncut ones, -1 to 1, by the name of the cut; mean over batches.

    A batch in which the uncut gradient is 0 does not count; without any batch left it is None.
    """

    layer: str
    """Its name in the network."""
    spatial: dict[str, float | None]
    """Of the gradient of its output."""
    weight: dict[str, float | None]
    """Of the gradient of its weight."""


def temporal_gradient_study(
    model: SpikingNetwork, loss: Callable[[Any, Tensor], Tensor], batches: Iterable[Batch]
) -> list[LayerSimilarity]:
    """Compare the gradients of every cut with the uncut ones, in training mode; the running statistics change.

    All cuts see the same dropout and stochastic depth, and draw from the global generators as one training step does.

    In a network of SpikingJelly every neuron has a memory. In one on the reversible grid only the last layers of the
    levels do: there "all but last" is the same as "none", and "only last" as "all", so that only these two are tried.

    Args:
        model: the network, on any device.
        loss: of what it returns and the labels.
        batches: inputs and labels.

    Returns:
        The layers in the order in which they are first called.
    """
    cuts = cuts_of(model)
    found: dict[str, dict[str, list[Tensor]]] = {}
    device = next(model.parameters()).device
    gpus = [device] if device.type == "cuda" else []
    last = list(cuts)[-1]
    model.train()
    with _everything_stored(model):
        for batch in batches:
            x, labels = batch.images.to(device), batch.targets.to(device)
            uncut: dict[str, tuple[Tensor, Tensor | None]] = {}
            for cut, where in cuts.items():
                with where(), torch.random.fork_rng(gpus, enabled=cut != last):  # each begins in the same state
                    gradients = _gradients(model, lambda: loss(model(x), labels))  # noqa: B023 (called at once)
                uncut = uncut or gradients
                for name, pair in gradients.items():
                    similar = [_similarity(a, b) for a, b in zip(pair, uncut[name], strict=True)]
                    found.setdefault(name, {}).setdefault(cut, []).append(torch.stack(similar))
    return [
        LayerSimilarity(layer=name, **dict(zip(("spatial", "weight"), _means(by_cut), strict=True)))
        for name, by_cut in found.items()
    ]


def cuts_of(model: SpikingNetwork) -> dict[str, Callable[[], Any]]:
    """What can be cut in this network: contexts by name, "none" first.

    Raises:
        ValueError: for a network of one step, which has no temporal gradient, or of another family.
    """
    if model.config.timesteps == 1:
        raise ValueError("timesteps=1: a network of one step has no temporal gradient; give one of more")
    if isinstance(model, SpikingJellyNetwork):
        ends = model.stage_ends
        others = [node for node in model.neurons if node not in ends]
        nodes: dict[str, list[Any]] = {"none": [], "all but last": others, "only last": ends, "all": others + ends}
        return {cut: partial(_without_memory_gradient, nodes[cut]) for cut in CUTS}
    grids = [module for module in model.modules() if isinstance(module, ReversibleGrid)]
    return {"none": ExitStack, "all": partial(_without_grid_gradient, grids)}


@contextmanager
def _without_memory_gradient(nodes: Sequence[Any]) -> Iterator[None]:
    """These neurons of SpikingJelly receive their membrane potential of the step before as a constant."""

    def forward(node: Any, sequence: Tensor) -> Tensor:
        spikes = []
        for x in sequence:
            node.detach()
            spikes.append(node.single_step_forward(x))
        return torch.stack(spikes)

    for node in nodes:
        node.multi_step_forward = partial(forward, node)
    try:
        yield
    finally:
        for node in nodes:
            del node.multi_step_forward


@contextmanager
def _without_grid_gradient(grids: Sequence[ReversibleGrid]) -> Iterator[None]:
    """The same for the key neurons of grids; the level below receives their spikes of the step before as a constant."""
    with ExitStack() as cuts:
        for grid in grids:
            cuts.enter_context(grid.without_temporal_gradient())
        yield


@contextmanager
def _everything_stored(model: SpikingNetwork) -> Iterator[None]:
    """Layers of a grid must run in sight of autograd, those of two streams too."""
    grids = [module for module in model.modules() if isinstance(module, ReversibleGrid)]
    inverted = [module for module in model.modules() if isinstance(module, TwoStreams) and module.invert]
    settings = [grid.memory for grid in grids]
    for grid in grids:
        grid.set_memory("stored")
    for streams in inverted:
        streams.invert = False
    try:
        yield
    finally:
        for grid, memory in zip(grids, settings, strict=True):
            grid.set_memory(memory)
        for streams in inverted:
            streams.invert = True


def _gradients(model: nn.Module, loss: Callable[[], Tensor]) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Of every layer's output, all calls in one vector, and of its weight, by the layer's name; in order of calls."""
    outputs: dict[str, list[Tensor]] = {}

    def note(name: str, _: nn.Module, __: Any, output: Tensor) -> None:
        outputs.setdefault(name, []).append(output)

    with ExitStack() as hooks:
        layers = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(partial(note, name)).remove)
        result = loss()
    flat = [output for calls in outputs.values() for output in calls]
    weights = [layers[name].weight for name in outputs]
    grads = torch.autograd.grad(result, [*flat, *weights], allow_unused=True)
    of_outputs, of_weights = iter(grads[: len(flat)]), grads[len(flat) :]
    found = {}
    for (name, calls), of_weight in zip(outputs.items(), of_weights, strict=True):
        parts = [next(of_outputs) for _ in calls]
        zeros = (torch.zeros_like(x) if g is None else g for g, x in zip(parts, calls, strict=True))
        found[name] = torch.cat([g.flatten() for g in zeros]), None if of_weight is None else of_weight.flatten()
    return found


def _similarity(a: Tensor | None, b: Tensor | None) -> Tensor:
    """NaN where there is no uncut gradient b; 0 where the cut leaves nothing."""
    if b is None or not b.any():
        return torch.tensor(torch.nan)
    return torch.tensor(0.0) if a is None else cosine_similarity(a.double(), b.double(), dim=0).cpu()


def _means(by_cut: dict[str, list[Tensor]]) -> list[dict[str, float | None]]:
    """Over batches, of the spatial and of the weight gradient."""
    means = {cut: torch.stack(values).double().nanmean(0).tolist() for cut, values in by_cut.items()}
    return [{cut: None if m[i] != m[i] else m[i] for cut, m in means.items()} for i in range(2)]

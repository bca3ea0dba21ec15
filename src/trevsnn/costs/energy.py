"""Energy of inference by two conventions, in 45 nm technology: 4.6 pJ per multiply-accumulate, 0.9 pJ per accumulate.

published: the stem counts multiply-accumulates; every other layer has a spike somewhere before it and counts
    accumulates, the firing rate times its `macs`. The rate is that of the spikes that enter its chain: the point-wise
    product after a depth-wise convolution counts that convolution's input. So the paper's 2.8 mJ can be understood.
    Where a network of another family passes membrane potentials on, it is the mean rate of the layers that have one.
strict: a layer counts its `operations`, as accumulates if its input is spikes, as multiply-accumulates if it is
    anything else. A linear pair is merged into one layer where that takes less energy.

Sources: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014 (fp32: 3.7 pJ per product,
0.9 pJ per sum); Hu et al., ICML 2024.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trevsnn.costs.operations import Chain, Layer, Operations

MAC_ENERGY = 4.6
"""pJ per multiply-accumulate."""
ACCUMULATE_ENERGY = 0.9
"""pJ per accumulate."""


@dataclass(frozen=True)
class Cost:
    """Operations of one image or clip."""

    macs: float = 0
    """Multiply-accumulates."""
    accumulates: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.accumulates + other.accumulates)

    @property
    def energy(self) -> float:
        """pJ."""
        return MAC_ENERGY * self.macs + ACCUMULATE_ENERGY * self.accumulates


@dataclass(frozen=True)
class LayerCost:
    """One layer by both conventions."""

    layer: Layer
    firing_rate: float | None
    """By which `published` multiplies, None for the stem."""
    published: Cost
    strict: Cost
    """Of a merged pair, its first layer has all and its second nothing."""
    unmerged: Cost
    """As `strict`, by itself."""
    merged: bool
    """Whether `strict` merges the layer with its neighbour."""


def layer_costs(operations: Operations) -> list[LayerCost]:
    """Every layer by both conventions."""
    rated = [(layer.firing_rate, layer.macs) for layer in operations.layers if layer.firing_rate is not None]
    mean = sum(rate * macs for rate, macs in rated) / max(1, sum(macs for _, macs in rated))
    return [cost for chain in operations.chains for cost in _chain_costs(chain, mean)]


def total(costs: Iterable[Cost]) -> Cost:
    """Their sum."""
    return sum(costs, start=Cost())


def mean_firing_rate(costs: Iterable[LayerCost]) -> float:
    """The one rate of all layers that gives the same published energy."""
    driven = [cost for cost in costs if cost.firing_rate is not None]
    return sum(cost.published.accumulates for cost in driven) / sum(cost.layer.macs for cost in driven)


def _chain_costs(chain: Chain, mean_rate: float) -> list[LayerCost]:
    first, *others = chain.layers
    own = mean_rate if first.firing_rate is None else first.firing_rate
    rate = None if first.kind == "stem" else own
    unmerged = [_cost(layer.operations, layer.binary) for layer in chain.layers]
    as_one = unmerged[0] if chain.merged is None else _cost(chain.merged, first.binary)
    merged = as_one.energy < total(unmerged).energy
    strict = [as_one, *[Cost()] * len(others)] if merged else unmerged
    published = [Cost(layer.macs) if rate is None else Cost(0, rate * layer.macs) for layer in chain.layers]
    layers = zip(chain.layers, published, strict, unmerged, strict=True)
    return [LayerCost(layer, rate, as_published, here, alone, merged) for layer, as_published, here, alone in layers]


def _cost(operations: float, binary: bool) -> Cost:
    return Cost(0, operations) if binary else Cost(operations)

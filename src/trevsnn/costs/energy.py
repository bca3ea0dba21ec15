"""Energy of inference by conventions, in 45 nm technology: 4.6 pJ per multiply-accumulate, 0.9 pJ per accumulate.

A convention says what the layers of a chain cost. Tables, pictures and JSON files loop over `CONVENTIONS`: a new one is
an entry there.

Sources: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014 (fp32: 3.7 pJ per product,
0.9 pJ per sum); Hu et al., ICML 2024.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
class Convention:
    """A way to count."""

    words: str
    """What it counts, as the report says it."""
    costs: Callable[[Chain, float | None], list[Cost]]
    """Of the layers of a chain, and the firing rate that enters it, None for the stem."""


def published(chain: Chain, rate: float | None) -> list[Cost]:
    """The stem counts multiply-accumulates, every other layer accumulates: the firing rate times its `macs`.

    Every layer but the stem has a spike somewhere before it. The rate is that of the spikes that enter its chain: the
    point-wise product after a depth-wise convolution counts that convolution's input. So the paper's 2.8 mJ can be
    understood. Where a network of another family passes membrane potentials on, it is the mean rate of the layers that
    have one.
    """
    return [Cost(layer.macs) if rate is None else Cost(0, rate * layer.macs) for layer in chain.layers]


def strict(chain: Chain, rate: float | None = None) -> list[Cost]:
    """A layer counts its `operations`: accumulates if its input is spikes, multiply-accumulates if it is anything else.

    A linear pair is merged into one layer where that takes less energy: its first layer has all, its second nothing.
    """
    apart = unmerged(chain)
    first, *others = chain.layers
    if chain.merged is None:
        return apart
    as_one = _cost(chain.merged, first.binary)
    return [as_one, *[Cost()] * len(others)] if as_one.energy < total(apart).energy else apart


def unmerged(chain: Chain) -> list[Cost]:
    """As `strict`, every layer by itself."""
    return [_cost(layer.operations, layer.binary) for layer in chain.layers]


CONVENTIONS: dict[str, Convention] = {
    "published": Convention(
        "the stem multiplies, every other layer accumulates its MACs times its firing rate", published
    ),
    "strict": Convention(
        "inputs other than 0 are counted, as accumulates only where they are spikes, and a linear pair is merged where "
        "that takes less",
        strict,
    ),
}
"""By name."""
PAPER = "published"
"""The convention of papers' figures."""


@dataclass(frozen=True)
class LayerCost:
    """One layer by every convention."""

    layer: Layer
    firing_rate: float | None
    """That of the spikes that enter its chain, None for the stem (see `published`)."""
    by: Mapping[str, Cost]
    """Its cost by convention."""
    unmerged: Cost
    """By the strict one, by itself."""
    merged: bool
    """Whether the strict one merges the layer with its neighbour."""


def layer_costs(operations: Operations) -> list[LayerCost]:
    """Every layer by every convention."""
    rated = [(layer.firing_rate, layer.macs) for layer in operations.layers if layer.firing_rate is not None]
    mean = sum(rate * macs for rate, macs in rated) / max(1, sum(macs for _, macs in rated))
    return [cost for chain in operations.chains for cost in _chain_costs(chain, mean)]


def total(costs: Iterable[Cost]) -> Cost:
    """Their sum."""
    return sum(costs, start=Cost())


def totals(costs: Sequence[LayerCost]) -> dict[str, Cost]:
    """The sum of the layers by each convention."""
    return {name: total(cost.by[name] for cost in costs) for name in CONVENTIONS}


def mean_firing_rate(costs: Iterable[LayerCost]) -> float:
    """The one rate of all layers that gives the same published energy."""
    rated = [(cost.firing_rate, cost.layer.macs) for cost in costs if cost.firing_rate is not None]
    return sum(rate * macs for rate, macs in rated) / sum(macs for _, macs in rated)


def _chain_costs(chain: Chain, mean_rate: float) -> list[LayerCost]:
    first = chain.layers[0]
    own = mean_rate if first.firing_rate is None else first.firing_rate
    rate = None if first.kind == "stem" else own
    by = {name: convention.costs(chain, rate) for name, convention in CONVENTIONS.items()}
    apart = unmerged(chain)
    merged = strict(chain) != apart
    return [
        LayerCost(layer, rate, {name: costs[i] for name, costs in by.items()}, apart[i], merged)
        for i, layer in enumerate(chain.layers)
    ]


def _cost(operations: float, binary: bool) -> Cost:
    return Cost(0, operations) if binary else Cost(operations)

"""Energy by both conventions: published figures, and chains worked out by hand."""

import pytest
import torch

from trevsnn import create_model
from trevsnn._util.units import unit_of
from trevsnn.costs.energy import Cost, layer_costs, mean_firing_rate, total
from trevsnn.costs.operations import Chain, Layer, Operations, assume_operations, measure_operations

MILLIJOULE = 1e9


def layer(name, macs, operations, binary, firing_rate):
    return Layer(
        step=0,
        level=0,
        block=0,
        name=name,
        macs=macs,
        operations=operations,
        binary=binary,
        firing_rate=firing_rate,
        silent=None,
        always=None,
    )


def pair(merged):
    """A depth-wise convolution of spikes, and the point-wise product after it."""
    first, second = layer("dw1", 1000, 90.0, True, 0.1), layer("pw1", 3000, 2900.0, False, None)
    return layer_costs(Operations(chains=(Chain(layers=(first, second), merged=merged),), images=1))


def test_an_operation_has_its_energy():
    assert Cost(10, 100).energy == pytest.approx(10 * 4.6 + 100 * 0.9)
    assert total([Cost(1, 2), Cost(3, 4)]) == Cost(4, 6)


def test_units_follow_the_size():
    assert [unit_of(energy) for energy in (2.8e9, 1e8, 7e6)] == [("mJ", 1e9), ("mJ", 1e9), ("µJ", 1e6)]


def test_published_counts_the_rate_of_the_spikes_that_enter_the_chain():
    first, second = pair(merged=1e9)
    assert (first.firing_rate, second.firing_rate) == (0.1, 0.1)
    assert first.by["published"] == Cost(0, pytest.approx(100))
    assert second.by["published"] == Cost(0, pytest.approx(300))


def test_strict_counts_what_receives_no_spikes_as_multiply_accumulates():
    first, second = pair(merged=1e9)
    assert (
        (first.by["strict"], second.by["strict"]) == (first.unmerged, second.unmerged) == (Cost(0, 90), Cost(2900, 0))
    )
    assert not first.merged


@pytest.mark.parametrize("more", [-1, 1])
def test_strict_merges_where_it_takes_less(more):
    apart = 90 + 2900 * 4.6 / 0.9  # accumulates of the same energy
    first, second = pair(merged=apart + more)
    assert first.merged == second.merged == (more < 0)
    if more < 0:
        assert (first.by["strict"], second.by["strict"]) == (Cost(0, apart + more), Cost())
        assert (first.unmerged, second.unmerged) == (Cost(0, 90), Cost(2900, 0))


def test_the_stem_counts_multiply_accumulates_by_both():
    stem = layer("stem 1", 500, 400.0, False, None)
    (cost,) = layer_costs(Operations(chains=(Chain(layers=(stem,), merged=None),), images=1))
    assert (cost.by["published"], cost.by["strict"], cost.firing_rate) == (Cost(500, 0), Cost(400, 0), None)


@pytest.fixture(scope="module")
def small():
    with torch.device("meta"):
        return create_model("trevsnn_small")


def energies(model, rate):
    costs = layer_costs(assume_operations(model, (3, 224, 224), rate))
    published = {kind: 0.0 for kind in ("stem", "fusion", "dw1", "pw1", "pw2", "dw2", "head")}
    unmerged = dict(published)
    for cost in costs:
        published[cost.layer.kind] += cost.by["published"].energy / MILLIJOULE
        unmerged[cost.layer.kind] += cost.unmerged.energy / MILLIJOULE
    return costs, published, unmerged


def test_the_published_network_has_the_published_energy(small):
    costs, published, unmerged = energies(small, 1.0)
    assert published["stem"] == pytest.approx(2.01, abs=0.005)
    assert sum(published.values()) - published["stem"] - published["head"] == pytest.approx(9.44, abs=0.005)
    assert unmerged["pw1"] == pytest.approx(20.3, abs=0.05)
    assert sum(c.unmerged.macs for c in costs if c.layer.kind == "pw1") == pytest.approx(4.42e9, abs=0.005e9)
    assert mean_firing_rate(costs) == pytest.approx(1.0)
    rate = (2.8 - published["stem"]) / (sum(published.values()) - published["stem"])
    assert sum(energies(small, rate)[1].values()) == pytest.approx(2.8)
    assert rate == pytest.approx(0.08, abs=0.005)


def test_merging_depends_on_the_firing_rate(small):
    """A 5 x 5 convolution in place of a product costs less while 25 accumulates at this rate are less than a MAC."""
    for rate, merged in [(0.15, True), (0.25, False)]:
        costs, *_ = energies(small, rate)
        level_0 = [cost.merged for cost in costs if cost.layer.kind == "pw1" and cost.layer.level == 0]
        assert set(level_0) == {merged}
        assert total(c.by["strict"] for c in costs).energy <= total(c.unmerged for c in costs).energy


def test_the_mean_rate_gives_the_measured_energy(build, batches):
    model = build()
    measured = layer_costs(measure_operations(model, batches(model)))
    assumed = layer_costs(assume_operations(model, (2, 32, 40), mean_firing_rate(measured)))
    energy = total(cost.by["published"] for cost in measured).energy
    assert total(cost.by["published"] for cost in assumed).energy == pytest.approx(energy, rel=1e-9)
    rates = {cost.firing_rate for cost in measured if cost.firing_rate is not None}
    assert min(rates) < mean_firing_rate(measured) < max(rates)

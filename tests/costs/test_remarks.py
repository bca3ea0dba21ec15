from dataclasses import replace

import pytest
import torch

from trevsnn.costs.operations import Chain, Layer, Operations, assume_operations, measure_operations
from trevsnn.costs.remarks import chance_remark, firing_remarks


@pytest.mark.parametrize(
    ("correct", "per_class"),
    [(30, [30, 30, 30]), (0, [30, 30, 30]), (36, [30, 30, 30]), (90, [90, 10]), (1, [1, 1]), (108, [100] * 10)],
    ids=str,
)
def test_guessing_is_remarked_on(correct, per_class):
    line, number = chance_remark(correct, per_class, "try another"), sum(per_class)
    assert line is not None
    assert f"{correct / number:.2%} right of {number:,} cannot be told from guessing" in line
    assert line.endswith(f"which gets {max(per_class) / number:.2%}; try another")


@pytest.mark.parametrize(
    ("correct", "per_class"),
    [(45, [30, 30, 30]), (97, [90, 10]), (2, [1, 1]), (130, [100] * 10), (5, [5]), (0, [5, 0])],
    ids=str,
)
def test_what_is_better_than_guessing_is_not(correct, per_class):
    assert chance_remark(correct, per_class, "") is None


def layer(name, silent, always=0.0, **place):
    numbers = {"step": 1, "level": 2, "block": 0, "macs": 1, "operations": 1.0, "binary": True, "firing_rate": 0.1}
    return Layer(name=name, silent=silent, always=always, **{**numbers, **place})


def remarks(*layers):
    return firing_remarks(Operations(chains=tuple(Chain(layers=(one,), merged=None) for one in layers), images=64))


def test_silent_blocks_are_named():
    found = remarks(layer("pw2", 1.0), layer("pw2", 0.5, block=1), layer("dw1", 0.5), layer("pw1", None, None))
    assert len(found) == 1
    assert found[0].startswith("1 of 2 blocks are silent, as no neuron inside fired in any of 64 samples (step 1 level")
    assert "(step 1 level 2 block 0): they add a constant; train longer" in found[0]


def test_other_neurons_that_never_or_always_fire():
    (silent,) = remarks(layer("dw1", 1.0), layer("fusion up", 1.0, block=None), layer("pw2", 0.0))
    assert "before step 1 level 2 block 0 dw1, step 1 level 2 fusion up: nothing passes there" in silent
    (always,) = remarks(layer("fusion down", 0.0, 1.0, block=None), layer("dw1", 0.2, 0.2))
    assert always.startswith("every neuron fired in each of 64 samples before step 1 level 2 fusion down")
    (dead,) = remarks(layer("pw2", 0.95), layer("pw2", 0.99), layer("dw1", 0.1))
    assert dead == "97.0% of the neurons inside blocks never fired in 64 samples, silent blocks aside"
    (busy,) = remarks(layer("conv layer1", 0.0, 0.93, step=None, level=None, block=None))
    assert busy == "93.0% of the other neurons always fired in 64 samples, silent blocks aside"


def test_nothing_to_say():
    assert remarks(layer("dw1", 0.2, 0.05), layer("pw2", 0.8), layer("stem 1", None, None)) == []


def test_of_a_network_whose_neurons_are_made_silent(build, batches):
    model = build(timesteps=2)
    assert firing_remarks(measure_operations(model, batches(model))) == []
    assert firing_remarks(assume_operations(model, (2, 32, 40), 0.0)) == []
    block = model.grid.cells[1][2].blocks[0]
    with torch.no_grad():
        block.pointwise.bias.fill_(-1e6)
    (found,) = firing_remarks(measure_operations(model, batches(model)))
    assert found.startswith("1 of 16 blocks are silent")
    assert "(step 1 level 2 block 0)" in found
    with torch.no_grad():
        block.pointwise.bias.fill_(1e6)
    operations = measure_operations(model, batches(model))
    (always,) = [one for one in operations.layers if one.always == 1]
    assert (always.step, always.level, always.block, always.name) == (1, 2, 0, "pw2")
    (found,) = firing_remarks(operations)
    assert found.startswith("every neuron fired in each of 7 samples before step 1 level 2 block 0:")
    assert firing_remarks(replace(operations, chains=())) == []

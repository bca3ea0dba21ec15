"""What is counted in a network, against hand-computed and independent figures."""

import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from trevsnn import create_model
from trevsnn.costs.operations import assume_operations, measure_operations
from trevsnn.data.loading import Batch
from trevsnn.models import cells, count_macs

OTHERS = {
    "one step": {"timesteps": 1},
    "grouped": {"input_encoding": "grouped"},
    "depth": {"depth": 3},
    "two streams": {"two_stream": True, "depth": 5},
    "no head": {"num_classes": 0},
    "plain": {"fusion": False, "residual_scale": False, "learn_decay": False},
    "clips": {"frames": True, "timesteps": 3},
    "clips, a stem per step": {"frames": True, "timesteps": 2, "stem_sharing": False},
}
OPTIONS = {"published": {}} | {name: {"channels": (8, 12), **options} for name, options in OTHERS.items()}
every_network = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
folded_or_not = pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])


def network_of_biases():
    """A network of one step and level, of which every layer puts out its bias."""
    model = create_model(
        "trevsnn_digits", channels=(2,), timesteps=1, depth=1, kernel_size=3, num_classes=3, aux_heads=False
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    block = model.grid.cells[0][0].blocks[0]
    model.stem.conv1.bias.data = torch.tensor([2.0, 0.0])
    model.stem.conv2.bias.data = torch.tensor([1.0, 0.0])  # the first channel's neurons fire
    block.depthwise.bias.data = torch.tensor([0.25, 0.0])
    block.pointwise.bias.data = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    block.tail.pointwise.bias.data = torch.tensor([0.25, 0.25])
    block.tail.depthwise.bias.data = torch.tensor([0.0, 1.0])  # and then the second's too
    return model.eval()


def test_a_network_counted_by_hand():
    images = torch.full((3, 1, 8, 8), 0.5)  # the stem makes 4 x 4 and then 2 x 2 of them
    found = measure_operations(network_of_biases(), [Batch(images, torch.zeros(3), [])])
    assert found.images == 3
    # an 8 x 8 image under 7 x 7 taps in steps of 2: 4 + 6 + 7 + 5 = 22 taps along an axis lie in it, of 28
    # 4 x 4 under 3 x 3 taps in steps of 2: 2 + 3 = 5 of 6. 2 x 2 under 3 x 3 taps: 2 + 2 = 4 of 6
    expected = {
        "stem 1": (49 * 1 * 2 * 16, 22 * 22 * 2, False, None, None),
        "stem 2": (9 * 2 * 2 * 4, 5 * 5 * 1 * 2, False, None, None),
        "dw1": (9 * 2 * 4, 4 * 4, True, 0.5, 0.5),
        "pw1": (2 * 8 * 4, 4 * 1 * 8, False, None, None),
        "pw2": (8 * 2 * 4, 4 * 3 * 2, True, 3 / 8, 5 / 8),
        "dw2": (9 * 2 * 4, 4 * 4 * 2, False, None, None),
        "head 1": (2 * 3, 2 * 3, True, 1.0, 0.0),  # every neuron fires: the mean is 1
        "head 2": (3 * 3, 0, True, 0.0, 1.0),
    }
    got = {x.name: (x.macs, x.operations, x.binary, x.firing_rate, x.silent) for x in found.layers}
    assert got == expected
    merged = {chain.layers[0].name: chain.merged for chain in found.chains}
    # of the merged stem, the first output along an axis sees pixels 0 to 5, the second all 8: 14 in all
    assert merged == {"stem 1": 14 * 14 * 2, "dw1": 4 * 4 * 8, "pw2": 12 * 4 * 2, "head 1": 2 * 3}
    places = {(x.step, x.level, x.block) for x in found.layers if x.kind in ("dw1", "pw1", "pw2", "dw2")}
    assert places == {(0, 0, 0)}


@every_network
@folded_or_not
def test_macs_are_those_of_the_network(build, batches, options, folded):
    model = build(**options).fold() if folded else build(**options)
    expected = count_macs(model, (2, 32, 40))
    for found in (measure_operations(model, batches(model)), assume_operations(model, (2, 32, 40), 0.3)):
        assert sum(layer.macs for layer in found.layers) == expected
        places = [(x.step, x.level, x.block, x.name) for x in found.layers]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize("options", [{}, OTHERS["clips"]], ids=["images", "clips"])
def test_firing_rates_are_those_of_the_neurons_at_their_place(build, batches, options):
    model = build(**options)
    found = measure_operations(model, batches(model))
    rates = {(x.step, x.level, x.name): x.firing_rate for x in found.layers}
    states = {}

    def note(state):
        states.update({(state.t, level): state.spikes(level).mean().item() for level in range(4)})

    with model.grid.observe(note):
        model(batches(model)[0].images)
    assert len(set(states.values())) == len(states), "every level and step has a rate of its own"
    for (t, level), rate in states.items():
        if level < 3:
            assert rates[t, level + 1, "fusion down"] == pytest.approx(rate, rel=1e-6)
        if level > 0 and t + 1 < model.config.timesteps:
            assert rates[t + 1, level - 1, "fusion up"] == pytest.approx(rate, rel=1e-6)
    last = [states[t, 3] for t in range(model.config.timesteps)][0 if options else -1 :]
    (head,) = (x for x in found.layers if x.name == "head 1")
    assert head.firing_rate == pytest.approx(sum(last) / len(last), rel=1e-6)


def test_blocks_that_share_their_second_half_are_told_apart(build, batches):
    model = build()
    received = []
    tail = model.grid.cells[0][0].blocks[1].tail
    tail.pointwise.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0].mean().item()))
    found = measure_operations(model, batches(model))
    rates = [x.firing_rate for x in found.layers if (x.level, x.block, x.name) == (0, 1, "pw2")]
    assert len(set(rates)) == 4
    assert rates == pytest.approx(received, rel=1e-6)


@every_network
def test_counts_do_not_depend_on_the_batch_size(build, batches, options, monkeypatch):
    monkeypatch.setattr(cells, "MIN_SLICE", 1)  # the smallest maps are sliced
    model = build(**options).double()  # in which the order of summation moves no neuron over its threshold
    one = measure_operations(model, batches(model))
    for sizes in ([1] * 7, [3, 4]):
        other = measure_operations(model, batches(model, sizes))
        assert [chain.merged for chain in one.chains] == [chain.merged for chain in other.chains]
        for a, b in zip(one.layers, other.layers, strict=True):
            assert replace(a, firing_rate=None) == replace(b, firing_rate=None)
            assert a.firing_rate == b.firing_rate or a.firing_rate == pytest.approx(b.firing_rate, rel=1e-12)


def test_silent_neurons_fire_in_no_image(build, batches):
    model = build()
    parts = batches(model, [1] * 7)
    whole = measure_operations(model, parts).layers
    single = measure_operations(model, parts[:1]).layers
    for layer, alone in zip(whole, single, strict=True):
        if layer.binary:
            assert layer.silent <= alone.silent
            assert alone.silent == pytest.approx(1 - alone.firing_rate)
    assert any(layer.silent and layer.silent < alone.silent for layer, alone in zip(whole, single, strict=True))


def test_nothing_of_a_batch_is_kept_and_the_network_is_left_as_it_was(build, batches):
    model = build().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []

    def fresh():
        for size in (2, 3, 2, 3):
            images = torch.randn(size, 2, 32, 40)
            seen.append(weakref.ref(images))
            yield Batch(images, torch.zeros(size), [])
            del images
            assert all(ref() is None for ref in seen[:-1])

    assert measure_operations(model, fresh()).images == 10
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_assumed_rates_are_those_measured_on_such_spikes(build):
    """Where every neuron fires, what is measured and what is assumed are one."""
    model = build()
    for name, p in model.named_parameters():
        if p.dim() == 4 or name.endswith("bias"):
            p.data.fill_(0.0 if p.dim() == 4 else 100.0)
    measured = measure_operations(model, [Batch(torch.ones(2, 2, 32, 40), torch.zeros(2), [])])
    assumed = assume_operations(model, (2, 32, 40), 1.0)
    assert all(layer.firing_rate in (1.0, None) for layer in measured.layers)
    for a, b in zip(measured.chains, assumed.chains, strict=True):
        assert a.merged == b.merged
        assert [x.operations for x in a.layers] == [x.operations for x in b.layers]


def test_a_bent_stem_is_no_linear_pair(build, batches):
    model = build()
    pairs = [chain.layers[0].name for chain in measure_operations(model, batches(model)).chains if chain.merged]
    assert {"stem 1", "head 1", "dw1", "pw2"} == set(pairs)
    model.set_negative_slope(0.3)
    pairs = [chain.layers[0].name for chain in measure_operations(model, batches(model)).chains if chain.merged]
    assert {"dw1", "pw2"} == set(pairs)


def test_what_cannot_be_counted_is_refused(build):
    for rate in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"firing_rate={rate} must be from 0 to 1"):
            assume_operations(build(), (2, 32, 40), rate)
    with pytest.raises(ValueError, match="too small"):
        assume_operations(build(), (2, 8, 8), 0.1)
    with pytest.raises(ValueError, match="no image"):
        measure_operations(build(), [])

"""Networks of two streams: every way to save memory is the same function, in time and inside a cell, together too."""

import gc
from itertools import product
from typing import get_args

import pytest
import torch
from helpers import assert_same_gradients, gradients, relative_error

from trevsnn import intermediate_supervision_loss
from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.layers import TwoStreams
from trevsnn.reversible import Memory

LABELS = torch.tensor([0, 1, 2])


def train_step(model, x, autocast=None):
    """Outputs, gradients and buffers after a training step."""
    x = x.to(next(model.parameters()).dtype, copy=True).requires_grad_()
    torch.manual_seed(1)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        outputs = model(x)
        loss = intermediate_supervision_loss(outputs, LABELS, 0.1)
    loss.backward()
    found = {name.removeprefix("grid."): grad for name, grad in gradients(model, [x]).items()}
    return outputs if isinstance(outputs, list) else [outputs], found, dict(model.named_buffers())


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({"channels": (8, 8, 12, 12)}, {}),
        ({"slices": 1, "timesteps": 2, "depth": 7}, {}),
        ({"slices": 2, "timesteps": 1, "depth": 3}, {}),
        ({"timesteps": 4, "depth": 3, "input_encoding": "grouped"}, {}),
        ({"drop_path_rate": 0.4}, {}),
        ({"frames": True, "timesteps": 2}, {}),
        ({"timesteps": 2, "depth": 5}, {"dtype": torch.float64}),
        ({"timesteps": 2, "depth": 5, "drop_path_rate": 0.4}, {"autocast": torch.bfloat16}),
        ({"timesteps": 2}, {"autocast": torch.float16}),
    ],
    ids=str,
)
def test_all_settings_are_bit_identical(build, options, precision, monkeypatch):
    monkeypatch.setattr("trevsnn.models.cells.MIN_SLICE", 1)  # cut even these small maps
    dtype, autocast = precision.get("dtype", torch.float32), precision.get("autocast")
    results = {}
    for memory, invert in product(get_args(Memory), (False, True)):
        options = {"channels": (8, 12), **options}
        model = build(two_stream=True, invert_blocks=invert, memory=memory, **options).to(dtype)
        shape = model.config.input_shape(3, 64, 64)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        results[memory, invert] = train_step(model, x, autocast)
    expected, stored, buffers = results["stored", False]
    assert all(grad.isfinite().all() for grad in stored.values())
    for (memory, _), (outputs, actual, replayed) in results.items():
        assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in replayed.items())
        assert_same_gradients(actual, stored, "decay" if memory == "reversible" else None)


@pytest.fixture(scope="module")
def batch():
    return torch.randn(8, 3, 64, 64), torch.zeros(8, dtype=torch.long)


@pytest.fixture
def peak(build, batch):
    """Peak bytes of a training step; the batch is run at once."""
    images, labels = batch

    def peak(memory, invert, timesteps=2, blocks=2, steps=1):
        model = build(
            **{"channels": (8, 8), "two_stream": True, "invert_blocks": invert, "memory": memory, "slices": 1},
            **{"timesteps": timesteps, "depth": timesteps * blocks, "aux_heads": False},
        )
        for p in model.parameters():
            p.grad = torch.zeros_like(p)

        def step():
            for _ in range(steps):
                intermediate_supervision_loss(model(images), labels).backward()

        return peak_bytes(step)

    return peak


MAPS = 8 * 8 * 2 * 16 * 16 * 4
"""Bytes of one float map of each of the two levels."""
WEIGHTS = 32 * 1024
"""More than the weights, as they are applied, of a block of each of the four cells."""
CELL_OVERHEAD = 6 * 1024
"""Bytes that a cell keeps besides its codes: random state, batch statistics, scalars."""


@pytest.mark.slow
def test_inverting_takes_the_blocks_out_of_memory_and_reversing_the_steps(peak):
    """Each with and without the other: neither stands in the other's way."""
    settings = list(product(("stored", "reversible"), (False, True)))
    per_block = {s: (peak(*s, blocks=6) - peak(*s, blocks=2)) / 4 for s in settings}
    assert per_block["stored", False] >= 2 * 8 * MAPS  # in both steps; four times as wide inside
    # of four cells, one runs again at a time
    assert per_block["reversible", False] == pytest.approx(per_block["stored", False] / 4, rel=0.02)
    assert per_block["stored", True] <= WEIGHTS
    assert per_block["reversible", True] <= WEIGHTS
    per_step = {s: (peak(*s, timesteps=6) - peak(*s, timesteps=4)) / 2 for s in settings}
    codes = MAPS / 16
    assert codes <= per_step["reversible", False] <= codes + 2 * CELL_OVERHEAD
    assert codes <= per_step["reversible", True] <= codes + 2 * CELL_OVERHEAD
    assert per_step["stored", False] >= 16 * MAPS
    assert 2 * MAPS <= per_step["stored", True] <= per_step["stored", False] / 4


def test_stored_memory_grows_linearly_with_the_blocks(peak):
    first, second, third = (peak("stored", False, blocks=blocks) for blocks in (2, 4, 6))
    assert third - second == pytest.approx(second - first, rel=0.02)


@pytest.mark.parametrize("memory", get_args(Memory))
def test_all_memory_is_given_back_without_the_garbage_collector(peak, memory):
    peak(memory, True)
    gc.collect()
    gc.disable()
    try:
        assert peak(memory, True, steps=3) == peak(memory, True, steps=1)
    finally:
        gc.enable()


def test_subnetworks_share_the_tails_of_every_second_block(build):
    cells = build(two_stream=True, depth=12).grid.cells
    for level, channels in enumerate((8, 8, 12, 12)):
        chains = [row[level].blocks for row in cells]
        assert all(isinstance(chain, TwoStreams) and len(chain) == 6 for chain in chains)
        assert all(branch.depthwise.in_channels == channels // 2 for branch in chains[0])
        tails = [len({id(chain[i].tail) for chain in chains}) for i in range(6)]
        assert tails == [4, 4, 1, 1, 4, 4]
        assert len({id(branch.tail) for branch in chains[0]}) == 6
        assert [branch.gamma is None for branch in chains[0]] == [False, False, True, True, False, False]


def test_a_network_of_half_precision_throughout_runs(build, images):
    model = build(two_stream=True).bfloat16().eval()
    assert model(images.bfloat16()).dtype == torch.bfloat16


def test_an_infinite_potential_is_not_hidden_by_saturation(build, images):
    images[1, 0, 5, 5] = torch.inf
    logits = build(two_stream=True).eval()(images)
    assert logits[1].isnan().all()
    assert logits[[0, 2]].isfinite().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
def test_a_compiled_network_is_the_same(build, images):
    """The compiler's own tracing, without its code generation, which needs a C++ compiler."""
    model = build(two_stream=True, invert_blocks=True, memory="stored", timesteps=1, channels=(8, 8), depth=2)
    expected, stored, _ = train_step(model, images)
    model.zero_grad()
    outputs, actual, _ = train_step(torch.compile(model, backend="aot_eager"), images)
    assert all(relative_error(a, b) <= 1e-6 for a, b in zip(outputs, expected, strict=True))
    actual = {name.removeprefix("_orig_mod.grid.").removeprefix("_orig_mod."): grad for name, grad in actual.items()}
    assert_same_gradients(actual, stored, "reference", "reference")

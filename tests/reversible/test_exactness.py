"""`memory="stored"` and `memory="reversible"` are one function with one gradient."""

from copy import deepcopy

import pytest
import torch
from helpers import (
    CELLS,
    WIDTH,
    assert_memory_settings_agree,
    assert_same_gradients,
    gradients,
    make_grid,
    make_input,
    train_step,
    weighted_sum,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trevsnn.reversible import ReversibleGrid


@pytest.mark.parametrize("timesteps", [1, 2, 3, 8])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5, 0.1, 0.01, 1e-3, 0.0, -0.7, 1.5, "mixed"])
def test_gradients_are_bit_identical_for_every_decay(decay, per_step, timesteps):
    grid = make_grid("dropout", timesteps, 2, decay, per_step)
    assert_memory_settings_agree(grid, make_input("dropout", batch=2), used=slice(-2, None))


@pytest.mark.parametrize("timesteps", [16, 32, 64])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize("decay", [0.5, 0.01, "mixed"])
def test_gradients_are_bit_identical_for_many_steps(decay, per_step, timesteps):
    """Of one decay per step: anchors every 17 steps, every third step, and as each channel needs them."""
    grid = make_grid("twice", timesteps, 2, decay, per_step)
    assert_memory_settings_agree(grid, make_input("twice", batch=2), used=slice(-2, None))


@pytest.mark.parametrize("reuse_cells", [False, True], ids=["own_cells", "shared_cells"])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_bit_identical_for_every_kind_of_cell(cell, training, per_step, reuse_cells):
    grid = make_grid(cell, 5, 3, "mixed", per_step, reuse_cells).train(training)
    assert_memory_settings_agree(grid, make_input(cell))


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_gradients_are_bit_identical_for_every_number_of_levels(levels, batch):
    grid = make_grid("batchnorm", 4, levels, "mixed")
    # the highest level is one pixel high, and batch normalisation needs two values
    assert_memory_settings_agree(grid, make_input(batch=batch, cell="batchnorm", size=(16, 32)))


@st.composite
def grids_and_inputs(draw):
    cell, timesteps = draw(st.sampled_from(sorted(CELLS))), draw(st.integers(1, 6))
    grid = make_grid(
        cell,
        timesteps,
        levels=draw(st.integers(1, 4)),
        decay=draw(st.lists(st.floats(-1.25, 1.25, width=32), min_size=WIDTH, max_size=WIDTH)),
        per_step=draw(st.booleans()),
        reuse_cells=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    ).train(draw(st.booleans()))
    # at least 9 high: the fourth level has two pixels, as batch normalisation needs
    batch, size = draw(st.integers(1, 4)), (draw(st.integers(9, 12)), draw(st.integers(1, 12)))
    frames = [make_input(cell, batch, size, seed) for seed in range(timesteps)]
    return grid, draw(st.sampled_from([frames[0], frames]))


@given(grids_and_inputs())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_gradients_are_bit_identical_for_any_grid(drawn):
    grid, inputs = drawn
    assert_memory_settings_agree(grid, inputs)


@pytest.mark.parametrize("timesteps", [2, 8])
@pytest.mark.parametrize("per_step", [False, True])
def test_a_decay_of_one_value_for_all_channels(per_step, timesteps):
    cells = make_grid("conv", timesteps).cells
    decays = [[nn.Parameter(torch.tensor(0.6)) for _ in range(2)] for _ in range(timesteps)]
    assert_memory_settings_agree(
        ReversibleGrid([list(row) for row in cells], decays if per_step else decays[0]), make_input("conv")
    )


@pytest.mark.parametrize("decays", [[0.5, 0.9], [[0.5, 0.9], [0.1, 0.2], [1, -1], [0, 2.0]]])
def test_fixed_decays_have_no_gradient_and_all_others_are_bit_identical(decays):
    grid = ReversibleGrid([list(row) for row in make_grid("batchnorm", 4).cells], decays)
    assert_memory_settings_agree(grid, make_input("batchnorm"))
    step = train_step(grid, make_input("batchnorm"), "reversible")
    assert all(grad is None for name, grad in step.gradients.items() if name.startswith("decays"))


def test_one_decay_used_at_some_steps_and_another_at_the_rest():
    cells = [list(row) for row in make_grid("linear", 6, 1).cells]
    first, second = (nn.Parameter(torch.full((WIDTH,), value)) for value in (0.4, 0.8))
    grid = ReversibleGrid(cells, [[first if t % 3 else second] for t in range(6)])
    assert_memory_settings_agree(grid, make_input("linear"))


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("cell", ["batchnorm", "twice"])
def test_gradients_are_bit_identical_in_float64(cell, per_step):
    grid = make_grid(cell, 8, 3, "mixed", per_step).double()
    assert_memory_settings_agree(grid, make_input(cell).double())


class _ChannelsLast(nn.Conv2d):
    """A cell that answers in another memory layout than its input's."""

    def forward(self, below, above=None):
        return super().forward(below).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("every", [1, 2])
def test_gradients_are_bit_identical_in_channels_last_layout(every):
    torch.manual_seed(0)
    grid = make_grid("conv", 4)
    rows = [[row[0] if t % every else _ChannelsLast(3, WIDTH, 1), row[1]] for t, row in enumerate(grid.cells)]
    grid = ReversibleGrid(rows, [nn.Parameter(torch.full((WIDTH,), 0.5)) for _ in range(2)])
    assert_memory_settings_agree(grid, make_input("conv"))
    assert_memory_settings_agree(grid, make_input("conv").to(memory_format=torch.channels_last))


def test_an_image_for_every_step_gets_its_own_gradient():
    frames = [make_input("batchnorm", seed=t) for t in range(4)]
    assert_memory_settings_agree(make_grid("batchnorm", 4), frames)


@pytest.mark.parametrize("reuse_cells", [False, True])
def test_all_readouts_see_the_same_state(reuse_cells):
    grid = make_grid("dropout", 4, 3, reuse_cells=reuse_cells)
    assert_memory_settings_agree(grid, make_input("dropout"), readout=lambda state: state.membranes[0])
    assert_memory_settings_agree(grid, make_input("dropout"), readout=lambda state: state.membranes[-1].square())
    assert_memory_settings_agree(grid, make_input("dropout"), readout=lambda state: state.spikes(1))
    assert_memory_settings_agree(grid, make_input("dropout"), readout=None)


class _ReadsTwice(nn.Module):
    """Uses the spikes below in two places; without weights it returns its input itself."""

    def __init__(self, weights: bool):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(3, 3) for _ in range(2 * weights))
        self.up = nn.Linear(3, 3)

    def forward(self, below, above=None):
        x = self.parts[0](below) + self.parts[1](below).tanh() if self.parts else below
        return x if above is None else x + self.up(above)


@pytest.mark.parametrize("weights", [True, False])
def test_gradients_of_spikes_with_several_readers_are_summed_in_one_order(weights):
    torch.manual_seed(0)
    cells = [[_ReadsTwice(weights), _ReadsTwice(True), _ReadsTwice(True)] for _ in range(4)]
    grid = ReversibleGrid(cells, [nn.Parameter(torch.full((3,), 0.5)) for _ in range(3)])
    assert_memory_settings_agree(
        grid, make_input(batch=64), readout=lambda state: state.spikes() * state.spikes().exp()
    )


def plain_loop(grid, frames, seed=1):
    """The grid's equations written out, with a surrogate of their own; the loss is that of train_step."""

    def fire(v):
        soft = v.clamp(0, 1)  # its derivative is the surrogate
        return (soft - soft.detach()) + (v.detach() >= 0.5).to(v.dtype)

    torch.manual_seed(seed)
    levels = range(len(grid.cells[0]))
    h, s, outputs = [None for _ in levels], [None for _ in levels], []
    for t, x in enumerate(frames):
        s_before = s
        s = []
        for i in levels:
            below, above = s[-1] if i else x, s_before[i + 1] if i + 1 < len(levels) else None
            alpha = grid.decays[t][i]
            h_before = 0 if h[i] is None else h[i]
            f = grid.cells[t][i](below, above)
            h[i] = alpha.reshape(-1, *[1] * (f.dim() - 2)) * h_before + f
            s.append(fire(h[i]))
        state = [x for pair in zip(s, h, strict=True) for x in pair]
        outputs.append(torch.cat([x if x.dim() == 2 else x.flatten(2).mean(2) for x in state], 1))
    return outputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("timesteps", [1, 4, 64])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize(("cell", "decay"), [("linear", "mixed"), ("linear", 0.9), ("conv", 0.5), ("twice", -0.3)])
def test_gradients_are_those_of_a_plain_loop_in_float64(cell, decay, per_step, timesteps, dtype):
    grid, x = make_grid(cell, timesteps, 2, decay, per_step).to(dtype), make_input(cell, batch=2).to(dtype)
    steps = {memory: train_step(grid, x, memory) for memory in ("stored", "reversible")}
    reference, x = grid.double(), x.double().requires_grad_()
    outputs = plain_loop(reference, [x] * timesteps)
    for step in steps.values():
        assert all((a - b).abs().max() < 1e-3 for a, b in zip(step.outputs, outputs, strict=True)), "a spike flipped"
    weighted_sum(outputs).backward()
    for step in steps.values():
        assert_same_gradients(step.gradients, gradients(reference, [x]), "decay", "reference")


def test_the_decay_of_the_first_step_has_a_gradient_of_zero():
    step = train_step(make_grid("linear", 3, per_step=True), make_input(), "reversible")
    for level in range(2):
        assert torch.equal(step.gradients[f"decays.0.{level}"], torch.zeros(WIDTH))


@pytest.mark.parametrize("per_step", [False, True])
def test_shared_cells_get_the_sum_of_the_gradients_of_separate_ones(per_step):
    shared, x = make_grid("linear", 4, reuse_cells=True, per_step=per_step).double(), make_input().double()
    copies = [[deepcopy(cell) for cell in row] for row in shared.cells]
    separate = ReversibleGrid(copies, [list(row) for row in shared.decays])
    actual, parts = (train_step(grid, x, "reversible").gradients for grid in (shared, separate))
    for name, grad in actual.items():
        if name.startswith("cells.0"):
            of_steps = [parts[name.replace("cells.0", f"cells.{t}")] for t in range(4)]
            torch.testing.assert_close(grad, sum(g for g in of_steps if g is not None))

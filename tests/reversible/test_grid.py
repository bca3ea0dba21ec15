"""What a grid takes, what it refuses, and what it says of itself."""

import math
from typing import get_args

import pytest
import torch
from helpers import (
    WIDTH,
    ConvCell,
    LinearCell,
    assert_memory_settings_agree,
    make_grid,
    make_input,
)
from torch import nn

from trevsnn.reversible import Memory, ReversibleGrid

every_setting = pytest.mark.parametrize("memory", get_args(Memory))


@every_setting
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cell", ["linear", "conv"])
@pytest.mark.parametrize("timesteps", [1, 4])
def test_a_sample_that_is_not_finite_comes_out_as_nan_and_the_others_unharmed(timesteps, cell, value, memory):
    grid = make_grid(cell, timesteps, decay="mixed", memory=memory)
    frames = [make_input(cell, batch=4, seed=t) for t in range(timesteps)]
    (clean,) = grid(frames)
    frames[0][2].view(-1)[1] = value  # only the first step sees it
    for context in (torch.enable_grad, torch.no_grad):
        with context():
            (output,) = grid(frames)
        assert output[2].isnan().all()
        assert torch.equal(output[[0, 1, 3]], clean[[0, 1, 3]])


def linear_rows(*lengths):
    return [[LinearCell(5 if i else 3, 0) for i in range(n)] for n in lengths]


@pytest.mark.parametrize("lengths", [(), (0,), (2, 1), (1, 2, 2), (2, 0)])
def test_an_empty_or_ragged_grid_is_refused(lengths):
    with pytest.raises(
        ValueError, match=rf"cells must be .* the same number .* got \[{', '.join(map(str, lengths))}\]"
    ):
        ReversibleGrid(linear_rows(*lengths), [0.5, 0.5])


@pytest.mark.parametrize(
    "decays", [[], [0.5], [0.5] * 3, [[0.5] * 2] * 2, [[0.5] * 2] * 4, [[0.5] * 3] * 3, [[0.5] * 2, [0.5], [0.5] * 2]]
)
def test_decays_that_do_not_fit_the_cells_are_refused(decays):
    with pytest.raises(ValueError, match="decays must be 2 values, or 3 rows of 2"):
        ReversibleGrid(linear_rows(2, 2, 2), decays)


@pytest.mark.parametrize(
    ("decays", "message"),
    [
        ([0.5, [0.5]], "decays must be 2 values"),
        ([[0.5, 0.5], 0.5, [0.5, 0.5]], "decays must be 2 values"),
        ([0.5, None], "not NoneType"),
        ([[0.5, None]] * 3, "not NoneType"),
        ([0.5, "fast"], "decays must be 2 values"),
        ([nn.Parameter(torch.ones(5, 1)), 0.5], r"shape \(5, 1\) must have shape \(C,\) or \(\)"),
    ],
    ids=str,
)
def test_a_decay_that_is_none_is_refused(decays, message):
    with pytest.raises(ValueError, match=message):
        ReversibleGrid(linear_rows(2, 2, 2), decays)


@every_setting
def test_a_decay_of_another_width_than_its_cell_is_refused(memory):
    grid = ReversibleGrid(linear_rows(1, 1), [nn.Parameter(torch.ones(4))], memory=memory)
    with pytest.raises(ValueError, match=r"a decay of 4 channels does not fit its cell, which returns \(3, 5\)"):
        grid(make_input())


@pytest.mark.parametrize("memory", ["", "Stored", "checkpoint", None])
def test_an_unknown_memory_setting_is_refused_with_the_choices(memory):
    match = rf"memory={memory!r} is unknown; choose from reversible, packed, stored"
    with pytest.raises(ValueError, match=match):
        ReversibleGrid(linear_rows(1), [0.5], memory=memory)
    grid = ReversibleGrid(linear_rows(1), [0.5])
    with pytest.raises(ValueError, match=match):
        grid.set_memory(memory)
    assert grid.memory == "reversible"


@every_setting
@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_wrong_number_of_inputs_is_refused(count, memory):
    with pytest.raises(ValueError, match=f"inputs holds {count} tensors, but the grid has 3 timesteps"):
        make_grid("linear", 3, memory=memory)([make_input()] * count)


def test_the_grid_says_what_it_is():
    grid = make_grid("linear", 3, 2, memory="stored")
    assert (grid.timesteps, grid.levels) == (3, 2)
    assert "timesteps=3, levels=2, memory='stored'" in repr(grid)


def test_any_modules_serve_as_cells():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = ConvCell(3, 0)

        def forward(self, below, above=None):
            return self.cell(below).repeat(1, 2, 1, 1)

    class OneDimensional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2 * WIDTH, 4, 3)

        def forward(self, below, above=None):
            return self.conv(below.flatten(2))

    decays = [nn.Parameter(torch.full((n,), 0.6)) for n in (2 * WIDTH, 4)]
    assert_memory_settings_agree(
        ReversibleGrid([[Wide(), OneDimensional()] for _ in range(3)], decays), make_input("conv")
    )

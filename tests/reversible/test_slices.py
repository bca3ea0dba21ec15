"""Cells that leave a part of themselves to be done in slices of the batch."""

import pytest
import torch
from helpers import (
    WIDTH,
    ConvCell,
    assert_memory_settings_agree,
    assert_same_gradients,
    everything,
    make_input,
    train_step,
)
from tolerances import assert_close
from torch import nn
from torch.nn.functional import conv2d

from trevsnn.neurons import spike
from trevsnn.reversible import ReversibleGrid, Sliced


class SlicedCell(nn.Module):
    """A cell with batch statistics, then a residual branch in slices, in which above joins where there is any."""

    def __init__(self, below: int, above: int, size: int):
        super().__init__()
        self.fused = ConvCell(below, 0)
        self.up = nn.Conv2d(above, WIDTH, 1) if above else None
        self.branch = nn.Conv2d(WIDTH, WIDTH, 3)
        self.unused = nn.Parameter(torch.ones(()))
        self.size = size

    def forward(self, below, above=None):
        up = None if self.up is None or above is None else self.up(above).mean((2, 3), keepdim=True)
        return Sliced(
            self.finish, [self.fused(below), up], [self.branch.weight, self.branch.bias, self.unused], self.size
        )

    @staticmethod
    def finish(samples, shared):
        (x, up), (weight, bias, _) = samples, shared
        x = x if up is None else x + up
        return x + conv2d(spike(x), weight, bias, padding=1)


def make_sliced_grid(size, timesteps=4, reuse_cells=False, per_step=True):
    torch.manual_seed(0)
    rows = [
        [SlicedCell(WIDTH if i else 3, WIDTH if (t or reuse_cells) and i < 2 else 0, size) for i in range(3)]
        for t in range(1 if reuse_cells else timesteps)
    ]
    decays = [[nn.Parameter(torch.full((WIDTH,), 0.5)) for _ in range(3)] for _ in range(timesteps)]
    return ReversibleGrid(rows * timesteps if reuse_cells else rows, decays if per_step else decays[0])


@pytest.mark.parametrize("reuse_cells", [False, True], ids=["own_cells", "shared_cells"])
@pytest.mark.parametrize("per_step", [False, True], ids=["shared_decay", "decay_per_step"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_settings_are_bit_identical_for_every_size_of_slices(size, per_step, reuse_cells):
    grid = make_sliced_grid(size, reuse_cells=reuse_cells, per_step=per_step)
    assert_memory_settings_agree(grid, make_input("conv", batch=7, size=(16, 9)))


@pytest.mark.parametrize("used", [slice(1), slice(-1, None)])
def test_settings_are_bit_identical_where_some_steps_have_no_gradient(used):
    assert_memory_settings_agree(make_sliced_grid(2), make_input("conv", batch=5, size=(16, 9)), used=used)


@pytest.mark.parametrize("frozen", ["cells.1.", "cells.2.1.branch", "cells.0.0.fused", "decays."])
def test_settings_are_bit_identical_with_frozen_parts(frozen):
    grid = make_sliced_grid(2)
    for name, p in grid.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    assert_memory_settings_agree(grid, make_input("conv", batch=5, size=(16, 9)))


def test_settings_are_bit_identical_in_channels_last_layout():
    x = make_input("conv", batch=5, size=(16, 9)).to(memory_format=torch.channels_last)
    assert_memory_settings_agree(make_sliced_grid(2), x)


def test_other_sizes_of_slices_agree_within_rounding():
    x = make_input("conv", batch=7, size=(16, 9)).double()
    whole, *others = (train_step(make_sliced_grid(size).double(), x, "reversible").gradients for size in (100, 1, 3))
    for gradients in others:
        for name, expected in whole.items():
            if name.endswith("fused.down.bias"):
                continue  # before a normalisation: 0 but for rounding
            grad = gradients[name]
            assert (grad is None) == (expected is None), name
            if expected is not None:
                assert_close(grad, expected, "order", name)


def test_two_backward_passes_add_up():
    grid = make_sliced_grid(2)
    loss = sum(output.square().sum() for output in grid(make_input("conv", batch=5, size=(16, 9)), everything))
    loss.backward(retain_graph=True)
    once = {name: p.grad.clone() for name, p in grid.named_parameters() if p.grad is not None}
    loss.backward()
    twice = {name: grid.get_parameter(name).grad for name in once}
    assert_same_gradients(twice, {name: 2 * grad for name, grad in once.items()}, decays=None)


def test_a_slice_has_a_sample_at_least():
    with pytest.raises(ValueError, match="size=0 must be at least 1 sample"):
        Sliced(SlicedCell.finish, [torch.ones(2, 3)], [], 0)

"""What runs again and gives another result is an error that names it."""

import itertools

import pytest
import torch
from helpers import WIDTH, ConvCell, LinearCell, assert_memory_settings_agree, everything, make_input
from torch import nn
from torch.utils.checkpoint import checkpoint

from trevsnn.neurons import spike
from trevsnn.reversible import ReplayableModule, ReplayError, ReversibleGrid, Sliced, guard, recompute
from trevsnn.reversible.guard import Fingerprint, Kept

_calls = itertools.count(1)


class Iterating(nn.Module):
    def forward(self, x):
        return x * next(_calls)


class Rolling(nn.Module):
    """Only the order of the samples is another."""

    def forward(self, x):
        return x.roll(1, 0) if next(_calls) % 2 else x


_potential = [0.3]


class HiddenPotential(nn.Module):
    """Falls at every call, below the window of the surrogate gradient at the second; no spike shows it."""

    def forward(self, x):
        _potential[0] -= 0.2
        return spike(_potential[0] + 0.01 * torch.tanh(x))


def hidden_grid(hidden, decay, **options):
    """Step 1 of level 0 remembers what no walk over the module finds."""
    cells = [[ConvCell(3, 0), ConvCell(WIDTH, 0)] for _ in range(3)]
    cells[1][0].activation = hidden
    return ReversibleGrid(cells, decay, **options)


def backward(grid):
    sum(output.square().sum() for output in grid(make_input("conv"), everything)).backward()


def decays():
    return [nn.Parameter(torch.full((WIDTH,), 0.5)) for _ in range(2)]


@pytest.mark.parametrize("hidden", [Iterating, Rolling])
@pytest.mark.parametrize("kind", ["fixed", "shared", "per step"])
def test_another_result_of_a_cell_is_an_error_that_names_it(hidden, kind):
    decay = {"fixed": [0.5, 0.9], "shared": decays(), "per step": [decays() for _ in range(3)]}[kind]
    named = r"cells\[1\]\[0\] \(ConvCell: step 1, level 0\) gave another result.*memory='packed' or 'stored'"
    with pytest.raises(ReplayError, match=named):
        backward(hidden_grid(hidden(), decay))


def test_state_that_moves_no_spike_is_an_error_too(monkeypatch):
    monkeypatch.setitem(globals(), "_potential", [0.3])
    with pytest.raises(
        ReplayError, match=r"cells\[1\]\[0\] \(ConvCell.*kept other values for its gradients when it ran"
    ):
        backward(hidden_grid(HiddenPotential(), decays()))


def test_operators_may_keep_numbers_of_another_device():
    kept = Kept()
    for device in ("cpu", "meta", "cpu"):
        kept.note(torch.ones(3, device=device), None)
    kept.finish()
    assert kept.number == 3
    assert kept.fingerprint.bits.device.type == "cpu"


def test_another_number_of_operators_is_an_error():
    class Sometimes(nn.Module):
        def forward(self, x):
            return x * 1 if next(_calls) % 2 else x.tanh() * torch.zeros_like(x) + x

    with pytest.raises(ReplayError, match=r"cells\[1\]\[0\] \(ConvCell.*kept other values"):
        backward(hidden_grid(Sometimes(), decays()))


@pytest.mark.parametrize("memory", ["reversible", "packed", "stored"])
def test_a_change_in_place_of_what_a_gradient_needs_is_an_error(memory):
    changed = nn.Sequential(nn.Sigmoid(), nn.ReLU(inplace=True))
    named = {"reversible": r"cells\[1\]\[0\] \(ConvCell.* changes in place a tensor that one of its operators needs"}
    with pytest.raises(RuntimeError, match=named.get(memory, "modified.* in.?place")):
        backward(hidden_grid(changed, decays(), memory=memory))


def test_a_cell_may_use_checkpoints_and_hooks_of_its_own():
    class Checkpointed(nn.Module):
        def forward(self, x):
            with torch.autograd.graph.save_on_cpu():
                y = x.sin()
            return checkpoint(lambda x: x.tanh().exp(), y, use_reentrant=False)

    grid = hidden_grid(Checkpointed(), decays())
    assert_memory_settings_agree(grid, make_input("conv"))


@pytest.mark.parametrize("memory", ["packed", "stored"])
def test_nothing_runs_again_in_the_other_settings(memory):
    backward(hidden_grid(Iterating(), decays(), memory=memory))


def test_the_comparison_can_be_left_out():
    grid = hidden_grid(Iterating(), decays(), check_replay=False)
    backward(grid)
    assert grid.cells[1][0].down.weight.grad is not None


class SlicedCell(LinearCell):
    def __init__(self, function):
        super().__init__(3, 0)
        self.function = function

    def forward(self, below, above=None):
        x = super().forward(below, above)
        return Sliced(lambda samples, shared: self.function(samples[0] * shared[0]), (x,), (self.down.bias,), 2)


@pytest.mark.parametrize("function", [Iterating(), nn.Dropout(0.5)])
def test_the_rest_of_a_sliced_cell_is_compared_too(function):
    grid = ReversibleGrid([[SlicedCell(function)] for _ in range(2)], decays()[:1])
    with pytest.raises(ReplayError, match=r"cells\[1\]\[0\] \(SlicedCell"):
        sum(output.square().sum() for output in grid(make_input("linear", batch=5), everything)).backward()


def test_a_sliced_cell_without_state_passes():
    grid = ReversibleGrid([[SlicedCell(torch.tanh)] for _ in range(2)], decays()[:1])
    assert_memory_settings_agree(grid, make_input("linear", batch=5))


def test_a_module_outside_a_grid_is_compared_too():
    y = recompute(ReplayableModule(Iterating(), "the stem"), torch.ones(2, 3, requires_grad=True))
    with pytest.raises(ReplayError, match="the stem gave another result"):
        y.sum().backward()


@pytest.fixture
def _like_a_gpu(monkeypatch):
    """A device that is not to be waited for, and rounds otherwise from run to run."""
    monkeypatch.setattr(guard, "_is_waited_for", lambda device: True)
    monkeypatch.setattr(guard, "_repeats_exactly", lambda device: False)


@pytest.mark.usefixtures("_like_a_gpu")
def test_where_the_device_is_not_waited_for_the_error_comes_at_the_end_of_the_backward_pass():
    grid = hidden_grid(Iterating(), decays())
    with pytest.raises(ReplayError, match=r"cells\[1\]\[0\]"):
        backward(grid)
    assert grid.cells[0][0].down.weight.grad is not None, "the backward pass went on to its end"
    backward(hidden_grid(nn.Tanh(), decays()))


@pytest.mark.usefixtures("_like_a_gpu")
@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 6, 6), (1, 3, 5), (0, 3)])
def test_rounding_is_no_difference_where_devices_round(shape):
    x = torch.randn(shape)
    rounded, other = x * (1 + 1e-6), torch.randn(shape)
    assert not Fingerprint.of(x).differs(Fingerprint.of(rounded))
    assert bool(Fingerprint.of(x).differs(Fingerprint.of(other))) == bool(len(x))


def test_rounding_is_a_difference_on_a_cpu():
    x = torch.ones(4, 8)
    assert Fingerprint.of(x).differs(Fingerprint.of(torch.nextafter(x, x + 1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 7, 2), (5, 0, 2, 2)])
def test_fingerprints_of_parts_add_up_and_see_one_bit(dtype, shape):
    x = torch.randn(shape).mul(3).to(dtype)
    whole = Fingerprint.of(x)
    parts = Fingerprint.of(x[:2]).plus(Fingerprint.of(x[2:], 2))
    assert not whole.differs(parts)
    if x.numel():
        y = x.clone()
        y[-1, -1] = ~y[-1, -1] if dtype == torch.bool else y[-1, -1] + 1
        assert whole.differs(Fingerprint.of(y))
        assert whole.differs(Fingerprint.of(torch.full_like(x, torch.nan if dtype.is_floating_point else 0)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_fingerprints_of_parts_with_channels_last_add_up(channels):
    x = torch.randn(5, channels, 5, 6).to(memory_format=torch.channels_last)
    parts = Fingerprint.of(x[:2]).plus(Fingerprint.of(x[2:], 2))
    assert not Fingerprint.of(x).differs(parts)
    assert Fingerprint.of(x).differs(Fingerprint.of(x.flip(0)))


@pytest.mark.parametrize("memory", ["reversible", "packed", "stored"])
def test_a_cell_that_returns_more_than_a_tensor_is_refused(memory):
    class Two(LinearCell):
        def forward(self, below, above=None):
            return super().forward(below, above), None

    with pytest.raises(TypeError, match=r"cells\[0\]\[0\] \(Two.*\) returned tuple; a cell returns one tensor"):
        ReversibleGrid([[Two(3, 0)]], [0.5], memory=memory)(make_input("linear"))


def test_batches_of_other_sizes_are_refused():
    grid = ReversibleGrid([[LinearCell(3, 0)] for _ in range(2)], [0.5])
    with pytest.raises(ValueError, match=r"inputs\[1\] of shape \(1, 3\) and an input of shape \(2, 3\)"):
        grid([torch.ones(2, 3), torch.ones(1, 3)])
    state = grid.step(0, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"membranes\[0\] of shape \(2, 5\) and an input of shape \(1, 3\)"):
        grid.step(1, torch.ones(1, 3), state.membranes)


@pytest.mark.parametrize(
    "change",
    [torch.neg, lambda x: 2 * x, lambda x: x / 2, lambda x: x.flip(-1), lambda x: x.roll(1, -1), lambda x: x.mT],
    ids=["sign", "twice", "half", "flipped", "rolled", "transposed"],
)
def test_changes_of_whole_maps_are_seen(change):
    x = torch.randn(2, 3, 32, 32)
    assert Fingerprint.of(x).differs(Fingerprint.of(change(x)))
    assert Fingerprint.of(torch.zeros(2, 3, 32, 32)).differs(Fingerprint.of(torch.ones(2, 3, 32, 32)))

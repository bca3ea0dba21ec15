"""Cells that remember something between their calls train with the gradients of `stored`, in every memory setting."""

import itertools

import numpy as np
import pytest
import torch
from helpers import WIDTH, ConvCell, assert_memory_settings_agree, everything
from remembering import (
    STATEFUL,
    ChangedInPlace,
    Counter,
    Odd,
    RunningStatistic,
    T,
    close_over,
    hold_elsewhere,
    hold_in_many_ways,
    make_batch,
    remember_in_a_hook,
    return_the_state,
    stateful_grid,
)
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from trevsnn.reversible import ReplayableModule, ReversibleGrid, recompute
from trevsnn.reversible.state import ModuleState


@pytest.mark.parametrize("shared", ["own", "between steps", "whole"])
@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL.keys())
def test_a_cell_that_remembers_has_the_gradients_of_stored(make, shared):
    grid = stateful_grid(make, None if shared == "own" else shared, per_step=shared == "own")
    assert_memory_settings_agree(grid, make_batch())


@pytest.mark.parametrize("shared", [None, "between steps", "whole"])
@pytest.mark.parametrize("make", [close_over, hold_in_many_ways, hold_elsewhere, remember_in_a_hook, return_the_state])
def test_state_that_no_copy_of_the_module_takes_with_it_is_found_too(make, shared):
    steps = []
    for memory in ("stored", "packed", "reversible"):
        grid = stateful_grid(make, shared, memory=memory)
        outputs = grid(make_batch(), everything)
        sum(output.square().sum() for output in outputs).backward()
        steps.append([*outputs, *(p.grad for row in grid.cells for cell in row for p in cell.parameters())])
    for step in steps[1:]:
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(step, steps[0], strict=True))


def test_what_a_hook_notes_it_notes_once():
    monitor = []
    grid = stateful_grid(nn.Tanh, None)
    grid.cells[0][0].activation.register_forward_hook(lambda module, args, output: monitor.append(output.detach()))
    for _ in range(2):
        sum(output.square().sum() for output in grid(make_batch(), everything)).backward()
    assert len(monitor) == 2


@pytest.mark.parametrize("make", [neuron.LIFNode, Counter, ChangedInPlace])
def test_a_fixed_decay_and_a_loss_of_some_outputs_change_nothing(make):
    grid = ReversibleGrid([list(row) for row in stateful_grid(make, "between steps").cells], [0.5, 0.9])
    assert_memory_settings_agree(grid, make_batch(), used=slice(1, None))


def test_state_moves_once_and_survives_the_backward_pass():
    for memory in ("stored", "reversible"):
        grid = stateful_grid(Counter, "whole", memory=memory)
        counter = grid.cells[0][0].activation
        sum(output.sum() for output in grid(make_batch(), everything)).backward()
        assert counter.calls == T


def test_state_that_others_reset_before_the_backward_pass_does_not_matter():
    gradients = []
    for reset in (False, True):
        grid = stateful_grid(neuron.LIFNode, "between steps")
        outputs = grid(make_batch(), everything)
        if reset:
            functional.reset_net(grid)
        sum(output.square().sum() for output in outputs).backward()
        assert (grid.cells[0][0].activation.v == 0.0) if reset else isinstance(grid.cells[0][0].activation.v, Tensor)
        gradients.append([p.grad for p in grid.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_mode_that_others_change_before_the_backward_pass_does_not_matter():
    gradients = []
    for change in (False, True):
        grid = stateful_grid(neuron.IFNode, "between steps")
        outputs = grid(make_batch(), everything)
        grid.train(not change)
        sum(output.square().sum() for output in outputs).backward()
        assert not any(module.training for module in grid.modules()) if change else grid.training
        gradients.append([p.grad for p in grid.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_every_backward_pass_over_one_graph_restores_the_same_state():
    grid = stateful_grid(ChangedInPlace, "whole")
    loss = sum(output.square().sum() for output in grid(make_batch(), everything))
    weight = grid.cells[0][0].down.weight
    first, second = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_state_from_before_the_call_is_restored():
    """A running state of earlier batches, cut from their graphs."""
    grid = stateful_grid(neuron.LIFNode, "between steps")
    with torch.no_grad():
        grid(make_batch())
    assert_memory_settings_agree(grid, make_batch())


def test_what_a_call_leaves_alone_is_not_kept():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), RunningStatistic())
    module[1].table, module[1].array = torch.zeros(100_000), np.zeros(100_000)
    state = ModuleState(module)
    state.forget_unchanged()
    assert {id(value.of) for value in state._values} == {id(module[1].mean), id(module[1].var)}, "the small ones"
    assert state.modified() is None
    module[1].array[5] = 1
    assert state.modified() is module[1].array
    module[1].array[5] = 0
    with torch.no_grad():
        module[1].table.add_(1)
    assert state.modified() is module[1].table


def test_a_buffer_that_others_change_in_place_is_named():
    module = nn.BatchNorm1d(3).eval()
    y = recompute(ReplayableModule(module, "the norm"), torch.randn(4, 3, requires_grad=True))
    module.running_mean.add_(1)
    with pytest.raises(RuntimeError, match=r"buffer 'running_mean' of the norm was modified in place between"):
        y.square().sum().backward()


def test_a_ring_of_references_and_a_large_collection_end():
    module = Counter()
    module.ring, module.many = {"module": module}, list(itertools.repeat(0.5, 100_000))
    module.ring["self"] = module.ring
    x = torch.ones(2, requires_grad=True)
    recompute(ReplayableModule(module), x).sum().backward()
    assert torch.equal(x.grad, torch.ones(2))
    assert module.calls == 1


def test_the_state_is_put_back_when_the_repetition_fails():
    class Fails(Counter):
        fail = False

        def forward(self, x):
            y = super().forward(x)
            if self.fail:
                raise KeyError("on purpose")
            return y.square()

    module = Fails()
    y = recompute(ReplayableModule(module), torch.ones(2, requires_grad=True))
    module.fail = True
    y.sum().backward()  # fail is state too, and was False
    assert (module.calls, module.fail) == (1, True)


@pytest.mark.parametrize("scripted", [nn.BatchNorm2d(WIDTH), nn.Conv2d(WIDTH, WIDTH, 1)])
def test_scripted_modules_are_refused(scripted):
    cell = ConvCell(3, 0, norm=False)
    with pytest.warns(FutureWarning, match="deprecated"):
        cell.norm = torch.jit.script(scripted)
    with pytest.raises(ValueError, match=r"scripted module 'cells\.0\.0\.norm'.*memory='stored'"):
        ReversibleGrid([[cell]], [0.5])


def test_what_is_held_in_odd_ways_is_no_hindrance():
    grids = {}
    for memory in ("stored", "reversible"):
        torch.manual_seed(0)
        grid = stateful_grid(Odd, "between steps", memory=memory)
        torch.manual_seed(1)
        outputs = grid(make_batch(), everything)
        sum(output.square().sum() for output in outputs).backward()
        grids[memory] = grid
    stored, reversible = (dict(grids[memory].named_parameters()) for memory in ("stored", "reversible"))
    for name, p in stored.items():
        if not name.startswith("decays"):
            assert torch.equal(p.grad, reversible[name].grad), name
    assert grids["reversible"].cells[0][0].activation.pair[0] == T

"""Cells that run twice behave as if they had run once."""

from typing import get_args

import pytest
import torch
from helpers import ConvCell, LinearCell, assert_memory_settings_agree, clone, everything, make_grid, make_input
from timm.layers import DropPath
from torch import nn

from trevsnn.reversible import Memory, ReplayableModule, ReversibleGrid, recompute


def normalised(momentum=0.1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum), nn.Dropout(0.3), DropPath(0.3))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
def test_batch_statistics_after_a_step_are_those_of_one_forward_pass(momentum):
    once, twice, x = normalised(momentum), normalised(momentum), torch.randn(6, 3)
    once(x)
    recompute(ReplayableModule(twice), x).sum().backward()
    assert all(torch.equal(tensor, twice.state_dict()[name]) for name, tensor in once.state_dict().items())
    assert once[1].num_batches_tracked == 1


@pytest.mark.parametrize("reuse_cells", [False, True])
@pytest.mark.parametrize("memory", get_args(Memory))
def test_batch_statistics_of_a_grid_move_once_per_use(memory, reuse_cells):
    grid = make_grid("batchnorm", 3, reuse_cells=reuse_cells, memory=memory)
    forward_only = clone(grid, memory)
    with torch.no_grad():
        forward_only(make_input("batchnorm"))
    sum(output.sum() for output in grid(make_input("batchnorm"), everything)).backward()
    for name, buffer in grid.named_buffers():
        assert torch.equal(buffer, forward_only.get_buffer(name)), name
    assert grid.cells[0][0].norm.num_batches_tracked == (3 if reuse_cells else 1)


def test_a_backward_pass_after_another_forward_pass_uses_its_own_statistics():
    x, other = torch.randn(6, 3), torch.randn(6, 3) * 5
    gradients = []
    for interleave in (False, True):
        module = normalised().eval()
        module[1].train()
        y = recompute(ReplayableModule(module), x)
        if interleave:
            module(other)
        before = state(module)
        y.square().sum().backward()
        gradients.append([p.grad for p in module.parameters()])
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_second_run_draws_the_same_random_numbers():
    gradients = []
    for run in (lambda module, x: module(x), lambda module, x: recompute(ReplayableModule(module), x)):
        module, x = normalised(), torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        torch.manual_seed(3)
        y = run(module, x)
        after = torch.rand(())
        torch.manual_seed(4)
        y.square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in module.parameters()), after, torch.rand(())])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


class _Counter(nn.Module):
    """Any buffer that a forward pass changes, and whose value it uses."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, below, above=None):
        self.calls += 1
        return below * self.weight * self.calls.clone()


def test_any_buffer_reads_the_same_in_the_second_run():
    counter = _Counter()
    assert_memory_settings_agree(ReversibleGrid([[counter]] * 4, [nn.Parameter(torch.full((3,), 0.5))]), make_input())


def test_every_later_run_repeats_the_first():
    counter, x = _Counter(), torch.rand(2, 3)
    replay = ReplayableModule(counter)
    assert all(torch.equal(replay(x), x) for _ in range(4))
    assert counter.calls == 1


def changed_in_place(change):
    grid = make_grid("linear", 3, per_step=change == "decay of a step")
    outputs = grid(make_input(), everything)
    with torch.no_grad():
        if change == "weight":
            grid.cells[1][0].down.weight.mul_(2)
        elif change == "optimiser":
            for p in grid.parameters():
                p.grad = torch.ones_like(p)
            torch.optim.SGD(grid.parameters(), lr=0.1).step()
        elif change == "load_state_dict":
            grid.load_state_dict(grid.state_dict())
        else:
            grid.decays[2][1].add_(1)
    return outputs


@pytest.mark.parametrize("change", ["weight", "optimiser", "load_state_dict", "decay", "decay of a step"])
def test_changing_a_parameter_in_place_before_the_backward_pass_is_an_error(change):
    outputs = changed_in_place(change)
    with pytest.raises(RuntimeError, match=r"modified in place|modified by an inplace operation"):
        sum(output.sum() for output in outputs).backward()


def test_the_error_for_a_changed_weight_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"call backward\(\) before optimizer.step\(\)"):
        sum(output.sum() for output in changed_in_place("weight")).backward()


def test_changing_the_input_in_place_before_the_backward_pass_is_an_error():
    x = make_input()
    (output,) = make_grid("linear", 3)(x, None)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_a_change_after_the_backward_pass_is_fine():
    grid, x = make_grid("linear", 3), make_input()
    optimizer = torch.optim.SGD(grid.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        sum(output.sum() for output in grid(x, everything)).backward()
        optimizer.step()


def synchronised():
    cell = ConvCell(3, 0, norm=False)
    cell.norm = nn.Sequential(nn.SyncBatchNorm(5))
    return [[cell]] * 2


def test_synchronised_batch_normalisation_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r"SyncBatchNorm 'cells\.0\.0\.norm\.0'.*BatchNorm2d.*memory='stored'"):
        ReversibleGrid(synchronised(), [0.5])


def test_synchronised_batch_normalisation_is_accepted_only_as_stored():
    grid = ReversibleGrid(synchronised(), [0.5], memory="stored")
    with pytest.raises(ValueError, match="SyncBatchNorm"):
        grid.set_memory("reversible")
    assert grid.memory == "stored"


def test_a_replayable_module_calls_its_module_with_all_arguments():
    cell = LinearCell(3, 5)
    below, above = torch.rand(2, 3), torch.rand(2, 5)
    replay = ReplayableModule(cell)
    first, second = replay(below, above), replay(below, above)
    assert torch.equal(first, cell(below, above))
    assert torch.equal(first, second)

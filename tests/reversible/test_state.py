"""Cells that remember something between their calls train with the gradients of `stored`, in every memory setting."""

import itertools
import random
from array import array
from collections import UserDict, UserList, deque
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from helpers import WIDTH, ConvCell, assert_memory_settings_agree, everything
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from trevsnn.reversible import ReplayableModule, ReversibleGrid, recompute
from trevsnn.reversible.state import ModuleState

T = 3


class Recurrent(nn.Module):
    """Its hidden state, with its graph, is an attribute."""

    def __init__(self):
        super().__init__()
        self.hidden = None
        self.again = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x):
        self.hidden = x if self.hidden is None else torch.tanh(self.again(self.hidden)) + x
        return self.hidden


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class CounterOfClass(nn.Module):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return x * (type(self).calls % (2 * T))  # every training step has 2 * T


class RunningStatistic(nn.Module):
    """No buffers, and changed by an operator that counts no versions."""

    def __init__(self):
        super().__init__()
        self.mean, self.var = torch.zeros(WIDTH), torch.ones(WIDTH)

    def forward(self, x):
        return batch_norm(x, self.mean, self.var, training=True) + self.mean.clone().view(1, -1, 1, 1)


class ChangedInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(1, WIDTH, 1, 1)
        self.inside = {"a": (torch.zeros(()), "b")}

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.5).add_(x.mean((0, 2, 3), keepdim=True))
        self.inside["a"][0].add_(1)
        return (x - self.mean.clone()) * self.inside["a"][0].clone()


class HoldsBuffer(nn.Module):
    """As snnTorch does: the state is a buffer that every call binds anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("membrane", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.membrane = 0.9 * self.membrane + x
        return self.membrane.sin()


class ArrayOfLater(nn.Module):
    """The call before the last changes what the others read."""

    def __init__(self):
        super().__init__()
        self.calls, self.array, self.table = 0, np.ones(2), torch.ones(2)

    def forward(self, x):
        self.calls += 1
        y = x * self.array.sum() * self.table.sum().item()
        if self.calls % T == T - 1:
            self.array += 1
            self.table.data.add_(1)
        return y


class Views(nn.Module):
    """What is written through one tensor is read through others."""

    def __init__(self):
        super().__init__()
        self.trace = torch.zeros(2, WIDTH)
        self.first, self.transposed = self.trace[0], self.trace.t()
        self.hidden = None

    def forward(self, x):
        with torch.no_grad():
            self.trace.mul_(0.5).add_(x.detach().mean((0, 2, 3)))
        if self.hidden is None:
            self.hidden = torch.zeros_like(x)
            self.view = self.hidden[0]
        self.hidden = self.hidden.clone()
        self.hidden.mul_(0.5).add_(x)
        self.view = self.hidden[0]
        self.view.add_(1)
        return (x + self.hidden) * self.first.clone().view(-1, 1, 1) * self.transposed[0, 1].clone()


class Slots:
    __slots__ = ("__own", "v")

    def __init__(self):
        self.__own = 1

    def next(self, x):
        self.__own += 1
        self.v = (self.v if hasattr(self, "v") else 0) + x
        return self.v * self.__own


class Pair(NamedTuple):
    v: Tensor
    i: Tensor


class HoldsNamedTuple(nn.Module):
    """As Norse's neurons are used."""

    def __init__(self):
        super().__init__()
        self.state = None

    def forward(self, x):
        v, i = self.state or (torch.zeros_like(x), torch.zeros_like(x))
        self.state = Pair(0.5 * v + i, 0.8 * i + x)
        return self.state.v.tanh()


class Collections(nn.Module):
    def __init__(self):
        super().__init__()
        self.list, self.deque, self.set, self.bytes = [], deque(maxlen=2), set(), bytearray(1)

    def forward(self, x):
        self.list.append(x)
        self.deque.append(len(self.list))
        self.set.add(len(self.list))
        self.bytes[0] += 1
        return sum(self.list) * (sum(self.deque) + len(self.set) + self.bytes[0])


class Objects(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = SimpleNamespace(calls=0, array=np.zeros(2), inside=SimpleNamespace(v=0.0))

    def forward(self, x):
        self.own.calls += 1
        self.own.array += 1
        self.own.inside.v = 0.5 * self.own.inside.v + x
        return x * (self.own.calls + self.own.array.sum()) + self.own.inside.v


class Random(nn.Module):
    """Draws from generators of its own and from the global ones that are not PyTorch's."""

    def __init__(self):
        super().__init__()
        self.torch = torch.Generator().manual_seed(0)
        self.python, self.numpy, self.old = random.Random(0), np.random.default_rng(0), np.random.RandomState(0)

    def forward(self, x):
        own = self.python.random() + self.numpy.random() + self.old.rand()
        return x * (torch.rand(x.shape, generator=self.torch) < 0.5) * (own + random.random() + np.random.rand())  # noqa: NPY002


class EverySecondCall(nn.Module):
    """A slow neuron: most calls read its potential without changing it."""

    def __init__(self):
        super().__init__()
        self.calls, self.slow = 0, neuron.LIFNode()

    def forward(self, x):
        self.calls += 1
        if self.calls % 2:
            self.slow(x)
        return x * self.slow.v


STATEFUL = {
    "LIF": neuron.LIFNode,
    "LIF without reset": lambda: neuron.LIFNode(tau=3.0, v_reset=None, detach_reset=True),
    "PLIF": neuron.ParametricLIFNode,
    **{
        kind.__name__: kind
        for kind in (
            Recurrent,
            Counter,
            CounterOfClass,
            RunningStatistic,
            ChangedInPlace,
            HoldsBuffer,
            HoldsNamedTuple,
            Collections,
            Objects,
            Random,
            EverySecondCall,
            ArrayOfLater,
            Views,
        )
    },
}


def close_over():
    calls, history = 0, []

    class Closing(nn.Module):
        def forward(self, x):
            nonlocal calls
            calls += 1
            history.append(x)
            return x + calls + sum(history)

    return Closing()


def hold_in_many_ways():
    """State in slots, in containers of Python's library, in a bound method, a partial and a default."""

    class Holders(nn.Module):
        def __init__(self):
            super().__init__()
            self.slots, self.dict, self.list, self.weak = Slots(), UserDict(n=0), UserList(), WeakKeyDictionary()
            self.method, self.partial, self.numbers = Slots().next, partial(Slots.next, Slots()), array("d", [0])

        def forward(self, x, seen=[]):  # noqa: B006
            self.dict["n"] += 1
            self.list.append(self.dict["n"])
            self.weak[self] = self.weak.get(self, 0) + 1
            self.numbers[0] += 1
            seen.append(x)
            own = self.slots.next(x) + self.method(x) + self.partial(x)
            return own + x * (sum(self.list) + self.weak[self] + self.numbers[0]) + sum(seen[-2:])

    return Holders()


def hold_elsewhere():
    """State on a module of PyTorch and in a list of the class."""

    class Elsewhere(nn.Module):
        seen = []  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(WIDTH, WIDTH, 1)
            self.conv.calls = 0

        def forward(self, x):
            self.conv.calls += 1
            self.seen.append(x)
            return self.conv(x) * self.conv.calls + sum(self.seen[-2:])

    return Elsewhere()


def remember_in_a_hook():
    total = [0]

    def hook(module, args, output):
        total[0] += 1
        return output * total[0]

    module = nn.Tanh()
    module.register_forward_hook(hook)
    return module


def return_the_state():
    """What it returned it changes in place at the next call."""

    class Returning(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = None

        def forward(self, x):
            self.v = x.detach().clone() if self.v is None else self.v.mul_(0.5).add_(x.detach())
            return self.v

    return Returning()


def stateful_grid(make, shared, per_step=False, memory="reversible"):
    """A grid of Conv-BN-state cells; every cell has state of its own, or steps share it, or they share whole cells."""
    torch.manual_seed(0)
    row = [make(), make()]
    rows = []
    for _ in range(T):
        row = row if shared else [make(), make()]
        rows.append([ConvCell(3, 0, activation=row[0]), ConvCell(WIDTH, 0, activation=row[1])])
    decays = [[nn.Parameter(torch.full((WIDTH,), 0.5)) for _ in range(2)] for _ in range(T if per_step else 1)]
    return ReversibleGrid(rows[:1] * T if shared == "whole" else rows, decays if per_step else decays[0], memory)


def make_batch():
    """An input that makes neurons fire."""
    return 3 * torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))


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


class Odd(nn.Module):
    """Holds what cannot be compared or put back, and a tuple that is made in a way of its own."""

    def __init__(self):
        super().__init__()
        self.lazy = nn.Sequential(nn.LazyConv2d(WIDTH, 1), nn.LazyBatchNorm2d())
        self.register_buffer("sparse", torch.eye(WIDTH).to_sparse())
        self.random = random.SystemRandom()
        self.pair = Own(torch.zeros(()), "name")

    def forward(self, x):
        self.pair[0].add_(1)
        return self.lazy(x) * self.sparse.to_dense().sum() * self.pair[0].clone()


class Own(tuple):
    def __new__(cls, tensor, name):
        return super().__new__(cls, (tensor, name))


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

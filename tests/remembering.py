"""Modules that remember something between their calls, in every way that Python offers, and grids of them."""

import random
from array import array
from collections import UserDict, UserList, deque
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from helpers import WIDTH, ConvCell
from spikingjelly.activation_based import neuron
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from trevsnn.reversible import ReversibleGrid

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

"""One training step, as it is measured for every network."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trevsnn.costs.timed_step import (
    NOT_INSTALLED,
    STEPS,
    TrainingStep,
    failures_in,
    measure_memory,
    measure_seconds,
    memory_limit,
)

CPU = torch.device("cpu")


class Doubled(torch.autograd.Function):
    """Keeps 1,024 bytes for its backward pass, and takes 4,096 more for a moment in it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(torch.empty(1024, dtype=torch.uint8))
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        torch.empty(4096, dtype=torch.uint8)
        return 2 * grad


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return Doubled.apply(self.weight * x)


STEP = TrainingStep(torch.ones(2), torch.zeros(2), "fp32", lambda outputs, labels: (outputs - labels).sum())


def test_peak_memory_of_a_step():
    network = Network()
    peak = measure_memory(network, STEP)
    assert 1024 + 4096 < peak < 1024 + 4096 + 100, "and a few scalars; neither weights nor gradients"
    assert network.weight.grad is None, "it waits without gradients"


def test_time_of_a_step(monkeypatch):
    network = Network()
    clock = iter([0.0, 100.0, 100.0, 102.0])  # the first step warms up
    monkeypatch.setitem(STEPS, "cpu", 1)
    monkeypatch.setattr("trevsnn.costs.timed_step.perf_counter", lambda: next(clock))
    assert measure_seconds(network, STEP) == 2
    assert network.calls == 2
    assert network.weight.grad is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModuleNotFoundError("x", name="spikingjelly.model"), NOT_INSTALLED),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] can't allocate memory: you tried 5 bytes\nmore"), "out of memory"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (ValueError("batch=0 is too small"), "batch=0 is too small"),
    ],
)
def test_failures_become_a_line(error, line):
    row = SimpleNamespace(error=None)
    with failures_in(row):
        raise error
    assert row.error == line


def test_an_interruption_is_no_failure():
    row = SimpleNamespace(error=None)
    with pytest.raises(KeyboardInterrupt), failures_in(row):
        raise KeyboardInterrupt
    assert row.error is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_memory_is_limited_and_the_limit_taken_back():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    row = SimpleNamespace(error=None)
    with memory_limit(CPU), failures_in(row):
        torch.empty(2**50, dtype=torch.uint8)
    assert row.error == "out of memory"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before

"""One training step, as it is measured for every network."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trevsnn.costs.timed_step import (
    NOT_INSTALLED,
    STEPS,
    Subject,
    Task,
    failures_in,
    measure_memory,
    measure_seconds,
    room,
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


@pytest.fixture
def subject():
    resets = []
    subject = Subject(Network(), lambda outputs, labels: (outputs - labels).sum(), reset=resets.append)
    return subject, resets


TASK = Task(torch.ones(2), torch.zeros(2), "fp32")


def test_peak_memory_of_a_step(subject):
    subject, resets = subject
    peak = measure_memory(subject, TASK)
    assert 1024 + 4096 < peak < 1024 + 4096 + 100, "and a few scalars; neither weights nor gradients"
    assert subject.network.weight.grad is None, "it is parked"
    assert len(resets) == 3, "before and after the step, and when it is parked"


def test_time_of_a_step(subject, monkeypatch):
    subject, _ = subject
    clock = iter([0.0, 100.0, 100.0, 102.0])  # the first step warms up
    monkeypatch.setitem(STEPS, "cpu", 1)
    monkeypatch.setattr("trevsnn.costs.timed_step.perf_counter", lambda: next(clock))
    assert measure_seconds(subject, TASK) == 2
    assert subject.network.calls == 2
    assert subject.network.weight.grad is None


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
def test_room_is_limited_and_the_limit_taken_back():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    row = SimpleNamespace(error=None)
    with room(CPU), failures_in(row):
        torch.empty(2**50, dtype=torch.uint8)
    assert row.error == "out of memory"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before

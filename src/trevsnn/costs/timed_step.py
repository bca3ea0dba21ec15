"""Memory and time of a training step of any network, so that several can be compared.

A step is the forward pass, the loss and the backward pass; gradients are allocated beforehand, and there is no
optimizer. Networks are measured in turns: one runs on the device, the others wait in host memory without gradients.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trevsnn.costs.peak_memory import peak_bytes
from trevsnn.training.precision import Precision, autocast

STEPS = {"cpu": 1, "cuda": 5}
"""Steps to warm up, and then to time, at each visit."""
NOT_INSTALLED = "not installed: pip install trevsnn[baselines]"


@dataclass(frozen=True)
class Task:
    """What is trained on: images (N, C, H, W) or clips (T, N, C, H, W), and labels (N,)."""

    images: Tensor
    labels: Tensor
    precision: Precision

    @property
    def device(self) -> torch.device:
        """Where the step runs."""
        return self.images.device

    def autocast(self) -> AbstractContextManager[Any]:
        """Within it, networks compute in the precision."""
        return autocast(self.precision, self.device)


@dataclass(frozen=True)
class Subject:
    """A network, the loss of its outputs, and what it has to forget between two steps."""

    network: nn.Module
    loss: Callable[[Any, Tensor], Tensor]
    reset: Callable[[nn.Module], None] = lambda network: None

    def step(self, task: Task) -> None:
        """Forward pass, loss, backward pass."""
        with task.autocast():
            loss = self.loss(self.network(task.images), task.labels)
        loss.backward()

    def park(self) -> None:
        """Leave the device, without gradients."""
        self.network.zero_grad(set_to_none=True)
        self.reset(self.network)
        self.network.to("cpu")


def measure_memory(subject: Subject, task: Task) -> int:
    """Peak bytes of one training step over what was live before it: parameters, gradients, images."""
    with _on_stage(subject, task.device):
        subject.reset(subject.network)

        def step() -> None:
            subject.step(task)
            subject.reset(subject.network)

        return peak_bytes(step, task.device)


def measure_seconds(subject: Subject, task: Task) -> float:
    """Mean time of a training step (s) over a few, after as many to warm up."""
    steps = STEPS[task.device.type]
    with _on_stage(subject, task.device):
        _run(subject, task, steps)
        return mean(_run(subject, task, steps))


class HasError(Protocol):
    """A row of a table that may stay without figures."""

    error: str | None


@contextmanager
def failures_in(row: HasError) -> Iterator[None]:
    """What goes wrong inside is noted in the row, in a line."""
    try:
        yield
    except ModuleNotFoundError as error:
        row.error = NOT_INSTALLED if (error.name or "").startswith("spikingjelly") else str(error)
    except Exception as error:  # whatever a network raises is a result
        message = str(error).strip().partition("\n")[0]
        no_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in message
        said = message if isinstance(error, ValueError) else f"{type(error).__name__}: {message}"
        row.error = "out of memory" if no_memory else said


@contextmanager
def room(device: torch.device) -> Iterator[None]:
    """Return free memory to the system; on a CPU, let an allocation beyond it fail, before the process is ended.

    The limit is Linux's; elsewhere there is none.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if device.type == "cuda" or not Path("/proc/meminfo").exists():
        yield
        return
    import resource  # not on every system

    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    # what is used and can be had; addresses that were freed, and take no memory now, count for the limit as if they did
    kibibytes = _first_number("/proc/self/status", "RssAnon") + _first_number("/proc/meminfo", "MemAvailable")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * kibibytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def count_parameters(network: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in network.parameters())


def _run(subject: Subject, task: Task, steps: int) -> list[float]:
    """Time of each of some training steps (s)."""
    seconds = []
    for _ in range(steps):
        subject.reset(subject.network)
        _synchronize(task.device)
        start = perf_counter()
        subject.step(task)
        _synchronize(task.device)
        seconds.append(perf_counter() - start)
    return seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _on_stage(subject: Subject, device: torch.device) -> Iterator[None]:
    """The network on the device with its gradients allocated, and afterwards out of the way."""
    subject.network.to(device)
    for p in subject.network.parameters():
        p.grad = torch.zeros_like(p)
    try:
        yield
    finally:
        subject.park()


def _first_number(path: str, name: str) -> int:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

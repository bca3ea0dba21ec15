"""Memory and time of a training step of any network, so that several can be compared.

A step is the forward pass, the loss and the backward pass; gradients are allocated beforehand, and there is no
optimizer. Networks are measured in turns: one is on the device, the others wait in host memory without gradients.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
class TrainingStep:
    """A batch of images (N, C, H, W) or clips (T, N, C, H, W), its labels (N,), and the loss of outputs and labels."""

    images: Tensor
    labels: Tensor
    precision: Precision
    loss: Callable[[Any, Tensor], Tensor]

    @property
    def device(self) -> torch.device:
        """Where the step runs."""
        return self.images.device

    def forward(self, network: nn.Module) -> Any:
        """What the network returns, computed in the precision."""
        with autocast(self.precision, self.device):
            return network(self.images)

    def run(self, network: nn.Module) -> None:
        """Forward pass, loss, backward pass."""
        with autocast(self.precision, self.device):
            loss = self.loss(network(self.images), self.labels)
        loss.backward()


def measure_memory(network: nn.Module, step: TrainingStep) -> int:
    """Peak bytes of one training step over what was live before it: parameters, gradients, images."""
    with _on_device(network, step.device):
        return peak_bytes(lambda: step.run(network), step.device)


def measure_seconds(network: nn.Module, step: TrainingStep) -> float:
    """Mean time of a training step (s) over a few, after as many to warm up."""
    with _on_device(network, step.device):
        _times(network, step)
        return mean(_times(network, step))


def move_to_cpu(network: nn.Module) -> None:
    """Let it wait in host memory, without gradients."""
    network.zero_grad(set_to_none=True)
    network.to("cpu")


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
def memory_limit(device: torch.device) -> Iterator[None]:
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


def _times(network: nn.Module, step: TrainingStep) -> list[float]:
    """Of each of some training steps (s)."""
    seconds = []
    for _ in range(STEPS[step.device.type]):
        _synchronize(step.device)
        start = perf_counter()
        step.run(network)
        _synchronize(step.device)
        seconds.append(perf_counter() - start)
    return seconds


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _on_device(network: nn.Module, device: torch.device) -> Iterator[None]:
    """The network on the device with its gradients allocated, and afterwards on the CPU."""
    network.to(device)
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    try:
        yield
    finally:
        move_to_cpu(network)


def _first_number(path: str, name: str) -> int:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

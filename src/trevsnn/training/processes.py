"""The processes that train together, as torchrun starts them; one process alone is the simplest case."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from trevsnn.training.errors import LostPeerError, PeerError

_LONGEST_WAIT = timedelta(hours=2)
"""For a process whose share of some work, the conversion of recordings for example, takes longer than the others'."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "NCCL", "Gloo")
"""What PyTorch's errors say when the other end of a connection is gone."""


@dataclass(frozen=True)
class Processes:
    """This process among all."""

    rank: int = 0
    """Its number, from 0."""
    world: int = 1
    """How many there are."""
    local_rank: int = 0
    """Its number on this machine."""
    local_world: int = 1
    """How many there are on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and prints."""
        return self.rank == 0

    def sum(self, *values: float, device: torch.device) -> list[float]:
        """The sums of some numbers over all processes."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.tolist()

    def add_up(self, values: torch.Tensor) -> None:
        """Replace values by their sums over all processes."""
        if self.world > 1:
            dist.all_reduce(values)

    def average_buffers(self, module: nn.Module) -> None:
        """Give every process the mean of all processes' running statistics: each has seen other batches."""
        if self.world > 1:
            buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
            means = torch.cat([buffer.flatten() for buffer in buffers]).div_(self.world)
            dist.all_reduce(means)
            for buffer, mean in zip(buffers, means.split([buffer.numel() for buffer in buffers]), strict=True):
                buffer.copy_(mean.view_as(buffer))

    def check_same_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse to train with processes that were told to do other things, or have other data.

        Raises:
            ValueError: naming a setting whose values differ, and these.
        """
        if self.world == 1:
            return
        all_settings: list[Any] = [None] * self.world
        dist.all_gather_object(all_settings, dict(settings))
        for name in settings:
            values = [others.get(name) for others in all_settings]
            if any(value != values[0] for value in values):
                raise ValueError(
                    f"the processes were not started alike: {name} is {', '.join(map(str, values))}; give all the same "
                    "options and the same data"
                )

    def check_equal(self, what: str, value: int) -> None:
        """Refuse to go on with processes that have read different files.

        Raises:
            ValueError: when the value is not the same in all of them.
        """
        values = [value] * self.world
        if self.world > 1:
            dist.all_gather_object(values, value)
        if len(set(values)) > 1:
            raise ValueError(f"the processes do not see the same run folder: {what} {values}; use one that they share")

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What goes wrong within the block in one process ends all of them, not that one alone."""
        errors: list[str | None] = [None] * self.world
        failure = None
        try:
            yield
        except (ValueError, OSError) as error:
            failure = error
        if self.world > 1:
            dist.all_gather_object(errors, None if failure is None else str(failure))
        if failure is not None:
            raise failure
        if any(errors):
            raise PeerError(next(filter(None, errors)))


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, before or after it is one of `joined`."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK") == "0"


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started with this one, if it has, for the time of the block.

    Args:
        device: "cpu" or "cuda", where they compute.

    Raises:
        ValueError: when the environment names some of torchrun's variables only.
        LostPeerError: when another process ends during the block while this one waits for it.
    """
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    try:
        numbers = [int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    except (KeyError, ValueError) as error:
        raise ValueError(f"WORLD_SIZE is set but another variable of torchrun is not: {error}; use torchrun") from error
    processes = Processes(*numbers)
    if device == "cuda":
        if processes.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"process {processes.local_rank} has no GPU of its own, there are {torch.cuda.device_count()}; "
                "start fewer with --nproc-per-node"
            )
        torch.cuda.set_device(processes.local_rank)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield processes
    except RuntimeError as error:
        if any(word in str(error) for word in _LOST):
            raise LostPeerError(
                "another process of this training ended, see what it or torchrun says; the last checkpoint stays: "
                "continue with --resume"
            ) from error
        raise
    finally:
        dist.destroy_process_group()

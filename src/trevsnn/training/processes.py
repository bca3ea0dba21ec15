"""The processes that train together, as torchrun starts them; one process alone is the simplest case."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist
from torch import nn


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

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's buffers: each has seen other batch statistics."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started with this one, if it has, for the time of the block.

    Args:
        device: "cpu" or "cuda", where they compute.

    Raises:
        ValueError: when the environment names some of torchrun's variables only.
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
        torch.cuda.set_device(processes.local_rank)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield processes
    finally:
        dist.destroy_process_group()

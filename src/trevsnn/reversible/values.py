"""Values that a call may change in place: tensors, NumPy arrays, random generators."""

import random
import zlib
from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

SMALL = 2**16
"""A tensor or array of at most this size is kept whether the call changes it or not: a later call may."""


class Value:
    """Something that can be changed where it is, and what it was before."""

    def __init__(self, of: Any):
        self.of = of
        self.before = self.read()

    def read(self) -> Any:
        """A copy of its value."""
        raise NotImplementedError

    def write(self, value: Any) -> None:
        """Give it a value."""
        raise NotImplementedError

    def changed(self) -> bool:
        """Whether its value is another than before."""
        raise NotImplementedError

    def small(self) -> bool:
        """Whether it may be kept without need."""
        return False


class TensorValue(Value):
    """A tensor. Others may still need the value that it has now, so another tensor takes its place for a while."""

    def __init__(self, of: Tensor):
        super().__init__(of)
        self.version = 0 if of.is_inference() else of._version

    def read(self) -> Tensor:
        return self.of.detach().clone()

    def changed(self) -> bool:
        """Batch normalisation, kernels of others and `data` change a tensor without counting."""
        if not self.of.is_inference() and self.of._version != self.version:
            return True
        if self.of.layout != torch.strided or self.of.is_nested or self.of.device.type != "cpu":
            return False
        return not torch.equal(self.of.detach(), self.before)

    def small(self) -> bool:
        """Others would have to be looked at, and a device waited for."""
        return self.of.numel() <= SMALL

    def another(self) -> Tensor:
        """A tensor of the value that it had, with a gradient if it had one."""
        if not self.of.requires_grad:
            return self.before.clone()
        with torch.enable_grad():
            return self.before.requires_grad_().clone()


class SharedMemory:
    """The memory in which several tensors of one type are, as a tensor and its views: what one writes, all read."""

    def __init__(self, values: Sequence[TensorValue]):
        self.values = values
        of = values[0].of.detach()
        self.before = of.new_empty(0).set_(of.untyped_storage()).clone()

    def holds(self, identities: Set[int]) -> bool:
        """Whether one of the tensors is among these."""
        return any(id(value.of) in identities for value in self.values)

    def others(self) -> dict[int, Tensor]:
        """For each tensor, one of the value that it had; all in one memory again."""
        needed = any(value.of.requires_grad for value in self.values)
        with torch.enable_grad():
            memory = self.before.requires_grad_(needed).clone()
            parts = ((v, memory.as_strided(v.of.size(), v.of.stride(), v.of.storage_offset())) for v in self.values)
            return {id(v.of): part if v.of.requires_grad else part.detach() for v, part in parts}


def shared_memories(values: Sequence[TensorValue]) -> list[SharedMemory]:
    groups = dict[tuple[int, torch.dtype], list[TensorValue]]()
    for value in values:
        x = value.of
        if x.layout == torch.strided and not x.is_nested and not x.is_inference() and x.numel():
            groups.setdefault((x.untyped_storage()._cdata, x.dtype), []).append(value)
    return [SharedMemory(group) for group in groups.values() if len(group) > 1]


class ArrayValue(Value):
    def read(self) -> np.ndarray:
        return self.of.copy()

    def write(self, value: np.ndarray) -> None:
        self.of[...] = value

    def changed(self) -> bool:
        return self.of.tobytes() != self.before.tobytes()  # a NaN equals itself

    def small(self) -> bool:
        return self.of.size <= SMALL


class GeneratorValue(Value):
    """A generator of random numbers. A call that does not change it has not read it."""

    def read(self) -> Any:
        if isinstance(self.of, torch.Generator):
            return self.of.get_state()
        return self.of.getstate() if isinstance(self.of, random.Random) else self._bits.state

    def write(self, value: Any) -> None:
        if isinstance(self.of, torch.Generator):
            self.of.set_state(value)
        elif isinstance(self.of, random.Random):
            self.of.setstate(value)
        else:
            self._bits.state = value

    def changed(self) -> bool:
        return not equal(self.before, self.read())

    @property
    def _bits(self) -> Any:
        if isinstance(self.of, np.random.RandomState):
            return self.of._bit_generator
        return self.of.bit_generator if isinstance(self.of, np.random.Generator) else self.of


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(equal(a[name], b[name]) for name in a)
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def checksum_of(x: np.ndarray) -> int:
    return zlib.crc32(x.tobytes())

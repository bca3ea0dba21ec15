"""What a module remembers from one call to the next, so that a call can be repeated.

A spiking neuron of another library, a counter or a running mean keeps state in attributes, in buffers, in containers
or in objects of its own. `ModuleState` is such state at one moment. It is found by walking over what the module holds:
its submodules with their parameters, buffers and attributes, and from there lists, dictionaries, sets, tuples and
objects with attributes. Tensors, NumPy arrays and random generators are the values in them. Python's and NumPy's global
random generators, and the numbers and tensors that a class holds, belong to it too.

What the module does not hold is not found: global variables, variables of an enclosing function, iterators, the inside
of compiled extensions. `trevsnn.reversible.guard` notices where they matter.
"""

import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from operator import is_
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_MOST_OBJECTS = 10_000
"""Where a module holds more (a whole data set, say), the rest is not looked at."""
_SMALL = 2**16
"""On devices that have to be waited for, a tensor of at most this size is taken for a statistic that has changed."""
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size})
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_GLOBAL_GENERATORS = (random._inst, np.random.mtrand._rand)
_PARTS_OF_MODULES = frozenset(nn.Module().__dict__)
_WITHOUT_STATE = frozenset({"torch", "torchvision", "timm", "numpy", "triton", "trevsnn", *sys.stdlib_module_names})
"""Packages whose objects remember nothing, but for the buffers of modules and what stands above."""


class ModuleState:
    """The state of a module now.

    Args:
        module: in training mode or not. In eval mode, the buffers of modules of `_WITHOUT_STATE` are constant.
    """

    def __init__(self, module: nn.Module):
        self._places: list[_Place] = []
        self._values: list[_Value] = []
        self._modes: list[tuple[nn.Module, bool]] = []
        self._constants: list[Tensor] = []
        self._versions: list[int] = []
        self._look_at(module)

    def forget_unchanged(self) -> None:
        """Keep only what has changed since, and what others may change before the module is called again."""
        changed = [value for value in self._values if value.changed()]
        if len(changed) < len(self._values):
            self._hold_constant(v.of for v in self._values if isinstance(v, _TensorValue) and v not in changed)
        self._values, moved = changed, {id(value.of) for value in changed}
        for place in self._places:
            place.moves = place.changed() or place.held(moved)

    def modified(self) -> Tensor | None:
        """A tensor that the call did not change, but that was changed in place since; None if there is none."""
        if (now := [tensor._version for tensor in self._constants]) == self._versions:
            return None
        return next(x for x, a, b in zip(self._constants, now, self._versions, strict=True) if a != b)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The module as it was; afterwards everything is as it is now."""
        others = {id(v.of): v.another() for v in self._values if isinstance(v, _TensorValue)}
        places = [place for place in self._places if place.moves or place.changed()]
        values = [value for value in self._values if not isinstance(value, _TensorValue)]
        live = [place.content() for place in places], [value.read() for value in values]
        modes = [(module, module.training) for module, training in self._modes if module.training != training]
        try:
            for module, training in modes:
                module.training = not training
            for place in places:
                place.put(_with_others(place.before, others))
            for value in values:
                value.write(value.before)
            yield
        finally:
            for module, training in modes:
                module.training = training
            for place, content in zip(places, live[0], strict=True):
                place.put(content)
            for value, content in zip(values, live[1], strict=True):
                value.write(content)

    def _look_at(self, module: nn.Module) -> None:
        pending, seen = list[Any]([module]), set[int]()
        while pending and len(seen) < _MOST_OBJECTS:
            x = pending.pop()
            if type(x) in _PLAIN or id(x) in seen:
                continue
            seen.add(id(x))
            if isinstance(x, nn.Module):
                self._look_at_module(x, pending)
            elif isinstance(x, nn.Parameter):
                self._hold_constant([x])
            elif isinstance(x, Tensor):
                if not is_lazy(x):
                    self._values.append(_TensorValue(x))
            elif isinstance(x, np.ndarray):
                self._values.append(_ArrayValue(x))
            elif isinstance(x, _GENERATORS) and not isinstance(x, random.SystemRandom):
                self._values.append(_GeneratorValue(x))
            elif isinstance(x, dict | list | deque | set | bytearray):
                self._places.append(_Place(x))
                pending += x.values() if isinstance(x, dict) else () if isinstance(x, bytearray) else x
            elif isinstance(x, tuple):
                pending += x
            elif isinstance(x, type):
                if not _without_state(x):
                    self._places.append(_ClassPlace(x))
                    pending += _data_of_class(x).values()
            elif _has_attributes(x):
                pending.append(vars(x))

    def _look_at_module(self, module: nn.Module, pending: list[Any]) -> None:
        attributes, kind = vars(module), type(module)
        foreign = not _without_state(kind)
        self._modes.append((module, module.training))
        if parameters := attributes["_parameters"]:
            self._places.append(_Place(parameters))
            self._hold_constant(p for p in parameters.values() if p is not None)
        if buffers := attributes["_buffers"]:
            self._places.append(_Place(buffers))
            if module.training or foreign:
                pending += buffers.values()
            else:
                self._hold_constant(b for b in buffers.values() if b is not None)
        pending += attributes["_modules"].values()
        if foreign:
            self._places.append(_Place(attributes))
            pending += (value for name, value in attributes.items() if name not in _PARTS_OF_MODULES)
            pending += (*kind.__mro__, *_GLOBAL_GENERATORS)

    def _hold_constant(self, tensors: Iterable[Tensor]) -> None:
        counted = [tensor for tensor in tensors if not is_lazy(tensor) and not tensor.is_inference()]
        self._constants += counted
        self._versions += [tensor._version for tensor in counted]


class _Place:
    """What a container holds.

    Args:
        container: a dictionary (of attributes, for example), list, deque, set or bytearray. A later call, or others,
            may change it before this call, which did not, is repeated.
    """

    def __init__(self, container: Any):
        self.container = container
        self.moves = False  # whether the call changes it
        self.before = self.content()

    def content(self) -> Any:
        """A copy of what it holds now."""
        return self.container.copy()

    def changed(self) -> bool:
        """Whether it holds other objects than before, or in another order."""
        before, now = self.before, self.container
        if isinstance(now, set | bytearray):
            return before != now
        if len(before) != len(now) or not all(map(is_, before, now)):
            return True
        return isinstance(now, dict) and not all(map(is_, before.values(), now.values()))

    def held(self, identities: Set[int]) -> bool:
        """Whether it held, directly or in a tuple, one of the objects with these identities."""
        if not identities or isinstance(self.before, bytearray):
            return False
        held = self.before.values() if isinstance(self.before, dict) else self.before
        return not identities.isdisjoint(map(id, held)) or any(
            _is_among(x, identities) for x in held if isinstance(x, tuple)
        )

    def put(self, content: Any) -> None:
        """Hold this in place of what it holds."""
        container = self.container
        if isinstance(container, list | bytearray):
            container[:] = content
        elif isinstance(container, dict) and list(container) == list(content):
            container.update(content)
        else:
            container.clear()
            (container.extend if isinstance(container, deque) else container.update)(content)


class _ClassPlace(_Place):
    """The numbers and tensors that a class holds."""

    def content(self) -> dict[str, Any]:
        return _data_of_class(self.container)

    def changed(self) -> bool:
        now = self.content()
        return self.before.keys() != now.keys() or any(self.before[name] is not now[name] for name in now)

    def put(self, content: Mapping[str, Any]) -> None:
        for name in self.content().keys() - content.keys():
            delattr(self.container, name)
        for name, value in content.items():
            setattr(self.container, name, value)


class _Value:
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


class _TensorValue(_Value):
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
        if self.of.layout != torch.strided or self.of.is_nested:
            return False
        if self.of.device.type != "cpu":
            return self.of.numel() <= _SMALL  # perhaps: to look would be to wait for the device
        return not torch.equal(self.of.detach(), self.before)

    def another(self) -> Tensor:
        """A tensor of the value that it had, with a gradient if it had one."""
        if not self.of.requires_grad:
            return self.before.clone()
        with torch.enable_grad():
            return self.before.requires_grad_().clone()


class _ArrayValue(_Value):
    def read(self) -> np.ndarray:
        return self.of.copy()

    def write(self, value: np.ndarray) -> None:
        self.of[...] = value

    def changed(self) -> bool:
        return self.of.tobytes() != self.before.tobytes()  # a NaN equals itself


class _GeneratorValue(_Value):
    """A generator of random numbers."""

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
        return not _equal(self.before, self.read())

    @property
    def _bits(self) -> Any:
        if isinstance(self.of, np.random.RandomState):
            return self.of._bit_generator
        return self.of.bit_generator if isinstance(self.of, np.random.Generator) else self.of


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def _is_among(x: Any, identities: Set[int]) -> bool:
    return id(x) in identities or (isinstance(x, tuple) and any(_is_among(part, identities) for part in x))


def _with_others(content: Any, others: Mapping[int, Tensor]) -> Any:
    """A copy of what a container holds, with other tensors in place of some."""
    if not others or isinstance(content, bytearray):
        return content
    if isinstance(content, dict):
        return {name: _or_other(x, others) for name, x in content.items()}
    return [_or_other(x, others) for x in content]


def _or_other(x: Any, others: Mapping[int, Tensor]) -> Any:
    if isinstance(x, tuple) and _is_among(x, others.keys()):
        parts = [_or_other(part, others) for part in x]
        return tuple.__new__(type(x), parts)
    return others.get(id(x), x)


def _data_of_class(kind: type) -> dict[str, Any]:
    return {
        name: x
        for name, x in vars(kind).items()
        if not name.startswith("__") and isinstance(x, bool | int | float | complex | Tensor | np.ndarray)
    }


def _has_attributes(x: Any) -> bool:
    """Whether an object has attributes that may be state."""
    if isinstance(x, SimpleNamespace):
        return True
    return hasattr(x, "__dict__") and not isinstance(x, Enum) and not _without_state(type(x))


@lru_cache(maxsize=1024)
def _without_state(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _WITHOUT_STATE

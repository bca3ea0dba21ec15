"""What a module remembers from one call to the next, so that a call can be repeated.

A spiking neuron of another library, a counter or a running mean keeps state in attributes, in buffers, in containers
or in objects of its own. `ModuleState` is such state at one moment. It is found by walking over what the module holds:
its submodules with their parameters, buffers, attributes and hooks, and from there lists, dictionaries, sets, tuples,
objects with attributes or slots, and functions with the variables that they close over. Tensors, NumPy arrays and
random generators are the values in them. Python's and NumPy's global random generators, and what a class holds, belong
to it too.

Not found are global variables, iterators and the inside of compiled extensions; `trevsnn.reversible.guard` notices
where they matter. A module all of whose parts come from PyTorch, timm and this library, without hooks, remembers
nothing but in its buffers, and is not searched further.
"""

import random
from collections import UserDict, UserList
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache, partial
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trevsnn.reversible.places import (
    CONTAINERS,
    NUMBERS,
    PLAIN,
    ClassPlace,
    DictPlace,
    Place,
    SlotsPlace,
    VariablePlace,
    content_of,
    data_of_class,
    is_known,
    slots_of,
    with_others,
    without_state,
)
from trevsnn.reversible.values import ArrayValue, GeneratorValue, TensorValue, Value, checksum_of, shared_memories

_MOST_OBJECTS = 10_000
"""Where a module holds more (a whole data set, say), the rest is not looked at."""
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_GLOBAL_GENERATORS = (random._inst, np.random.mtrand._rand)
_PARTS_OF_MODULES = frozenset(nn.Module().__dict__)
_CONTAINERS_OF_OBJECTS = (SimpleNamespace, UserDict, UserList, WeakKeyDictionary, WeakValueDictionary)


class ModuleState:
    """The state of a module now.

    Args:
        module: in training mode or not. In eval mode, the buffers of modules of `WITHOUT_STATE` are constant.

    Attributes:
        foreign: whether some of its modules may remember more than their buffers.
        lazy: whether some of its tensors have no values yet.
    """

    def __init__(self, module: nn.Module):
        modules = _modules(module)
        self.foreign = any(not without_state(type(m)) or m._forward_hooks or m._forward_pre_hooks for m in modules)
        self.lazy = False
        self._places: list[Place] = []
        self._values: list[Value] = []
        self._modes: list[tuple[nn.Module, bool]] = []
        self._constants: list[Tensor] = []
        self._versions: list[int] = []
        self._arrays: list[tuple[np.ndarray, int]] = []
        pending = list[Any]()
        for m in modules:
            self._look_at_module(m, pending)
        self._look_at(pending, {id(m) for m in modules})
        self._shared = shared_memories([v for v in self._values if isinstance(v, TensorValue)])

    def forget_unchanged(self) -> None:
        """Keep only what has changed since, and what a later call may change before this one is repeated."""
        kept, large = list[Value](), list[Value]()
        for value in self._values:
            (kept if value.small() or value.changed() else large).append(value)
        self._hold_constant(value.of for value in large if isinstance(value, TensorValue))
        self._arrays += [(value.of, checksum_of(value.of)) for value in large if isinstance(value, ArrayValue)]
        self._values, moved = kept, {id(value.of) for value in kept}
        self._shared = [memory for memory in self._shared if memory.holds(moved)]
        for place in self._places:
            place.moves = place.changed() or place.held(moved)

    def modified(self) -> Tensor | np.ndarray | None:
        """A value that the call did not change, but that was changed in place since; None if there is none."""
        for x, checksum in self._arrays:
            if checksum_of(x) != checksum:
                return x
        if (now := [tensor._version for tensor in self._constants]) == self._versions:
            return None
        return next(x for x, a, b in zip(self._constants, now, self._versions, strict=True) if a != b)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The module as it was; afterwards everything is as it is now."""
        others = {id(v.of): v.another() for v in self._values if isinstance(v, TensorValue)}
        for memory in self._shared:
            others |= memory.others()
        places = [place for place in self._places if place.moves or place.changed()]
        values = [value for value in self._values if not isinstance(value, TensorValue)]
        live = [place.content() for place in places], [value.read() for value in values]
        modes = [(module, module.training) for module, training in self._modes if module.training != training]
        try:
            for module, training in modes:
                module.training = not training
            for place in places:
                place.put(with_others(place.before, others))
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

    def _look_at(self, pending: list[Any], seen: set[int]) -> None:
        while pending and len(seen) < _MOST_OBJECTS:
            x = pending.pop()
            if type(x) in PLAIN or id(x) in seen:
                continue
            seen.add(id(x))
            if isinstance(x, nn.Module):  # one that no module has registered
                self._look_at_module(x, pending)
                pending += x._modules.values()
            elif isinstance(x, nn.Parameter):
                self._hold_constant([x])
            elif isinstance(x, Tensor):
                if is_lazy(x):
                    self.lazy = True
                else:
                    self._values.append(TensorValue(x))
            elif isinstance(x, np.ndarray):
                self._values.append(ArrayValue(x))
            elif isinstance(x, _GENERATORS) and not isinstance(x, random.SystemRandom):
                self._values.append(GeneratorValue(x))
            elif isinstance(x, dict):
                self._places.append(DictPlace(x))
                pending += x.values()
            elif isinstance(x, CONTAINERS):
                self._places.append(Place(x))
                pending += () if isinstance(x, NUMBERS) else x
            elif isinstance(x, tuple):
                pending += x
            elif isinstance(x, CellType):
                self._places.append(VariablePlace(x))
                pending += content_of(x)
            elif isinstance(x, MethodType):
                pending += (x.__self__, x.__func__)
            elif isinstance(x, partial):
                pending += (x.func, x.args, x.keywords)
            elif isinstance(x, FunctionType):
                if not is_known(x):
                    pending += (*(x.__closure__ or ()), x.__defaults__, x.__kwdefaults__, vars(x))
            elif isinstance(x, type):
                if not without_state(x):
                    self._places.append(ClassPlace(x))
                    pending += data_of_class(x).values()
                    pending += _functions_of_class(x)
            else:
                if _has_attributes(x):
                    pending.append(vars(x))
                if slots := slots_of(type(x)):
                    self._places.append(SlotsPlace(x))
                    pending += (getattr(x, name, None) for name in slots)

    def _look_at_module(self, module: nn.Module, pending: list[Any]) -> None:
        attributes, kind = module.__dict__, type(module)
        foreign = not without_state(kind)
        self._modes.append((module, module.training))
        if parameters := attributes["_parameters"]:
            self._places.append(DictPlace(parameters))
            self._hold_constant(p for p in parameters.values() if p is not None)
        if buffers := attributes["_buffers"]:
            self._places.append(DictPlace(buffers))
            if module.training or foreign:
                pending += buffers.values()
            else:
                self._hold_constant(b for b in buffers.values() if b is not None)
        if self.foreign:  # others may give any module of theirs an attribute
            self._places.append(DictPlace(attributes))
            pending += (value for name, value in attributes.items() if name not in _PARTS_OF_MODULES)
            pending += (*module._forward_pre_hooks.values(), *module._forward_hooks.values(), *_GLOBAL_GENERATORS)
        if foreign:
            pending += kind.__mro__

    def _hold_constant(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if is_lazy(tensor):
                self.lazy = True
            elif not tensor.is_inference():
                self._constants.append(tensor)
                self._versions.append(tensor._version)


def _modules(module: nn.Module) -> list[nn.Module]:
    """The module and those in it, each once."""
    pending, found = [module], dict[int, nn.Module]()
    while pending:
        m = pending.pop()
        if id(m) not in found:
            found[id(m)] = m
            pending += (child for child in m._modules.values() if child is not None)
    return list(found.values())


@lru_cache(maxsize=1024)
def _functions_of_class(kind: type) -> list[FunctionType]:
    """Its functions that close over variables, or have defaults."""
    functions = [x for x in vars(kind).values() if isinstance(x, FunctionType)]
    return [f for f in functions if f.__closure__ or f.__defaults__ or f.__kwdefaults__]


def _has_attributes(x: Any) -> bool:
    """Whether an object has attributes that may be state."""
    if isinstance(x, _CONTAINERS_OF_OBJECTS):
        return True
    return hasattr(x, "__dict__") and not isinstance(x, Enum) and not without_state(type(x))

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
import sys
import zlib
from array import array
from collections import UserDict, UserList, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache, partial
from operator import is_
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_MOST_OBJECTS = 10_000
"""Where a module holds more (a whole data set, say), the rest is not looked at."""
_SMALL = 2**16
"""A tensor or array of at most this size is kept whether the call changes it or not: a later call may."""
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size})
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_GLOBAL_GENERATORS = (random._inst, np.random.mtrand._rand)
_PARTS_OF_MODULES = frozenset(nn.Module().__dict__)
_WITHOUT_STATE = frozenset({"torch", "torchvision", "timm", "numpy", "triton", "trevsnn", *sys.stdlib_module_names})
"""Packages whose objects remember nothing, but for the buffers of modules and what stands above and below."""
_CONTAINERS_OF_OBJECTS = (SimpleNamespace, UserDict, UserList, WeakKeyDictionary, WeakValueDictionary)
_NUMBERS = bytearray | array
_CONTAINERS = (dict, list, deque, set, bytearray, array)


class ModuleState:
    """The state of a module now.

    Args:
        module: in training mode or not. In eval mode, the buffers of modules of `_WITHOUT_STATE` are constant.

    Attributes:
        foreign: whether some of its modules may remember more than their buffers.
        lazy: whether some of its tensors have no values yet.
    """

    def __init__(self, module: nn.Module):
        modules = _modules(module)
        self.foreign = any(not _without_state(type(m)) or m._forward_hooks or m._forward_pre_hooks for m in modules)
        self.lazy = False
        self._places: list[_Place] = []
        self._values: list[_Value] = []
        self._modes: list[tuple[nn.Module, bool]] = []
        self._constants: list[Tensor] = []
        self._versions: list[int] = []
        self._arrays: list[tuple[np.ndarray, int]] = []
        pending = list[Any]()
        for m in modules:
            self._look_at_module(m, pending)
        self._look_at(pending, {id(m) for m in modules})
        self._shared = _shared_memories([v for v in self._values if isinstance(v, _TensorValue)])

    def forget_unchanged(self) -> None:
        """Keep only what has changed since, and what a later call may change before this one is repeated."""
        kept, large = list[_Value](), list[_Value]()
        for value in self._values:
            (kept if value.small() or value.changed() else large).append(value)
        self._hold_constant(value.of for value in large if isinstance(value, _TensorValue))
        self._arrays += [(value.of, _checksum(value.of)) for value in large if isinstance(value, _ArrayValue)]
        self._values, moved = kept, {id(value.of) for value in kept}
        self._shared = [memory for memory in self._shared if memory.holds(moved)]
        for place in self._places:
            place.moves = place.changed() or place.held(moved)

    def modified(self) -> Tensor | np.ndarray | None:
        """A value that the call did not change, but that was changed in place since; None if there is none."""
        for x, checksum in self._arrays:
            if _checksum(x) != checksum:
                return x
        if (now := [tensor._version for tensor in self._constants]) == self._versions:
            return None
        return next(x for x, a, b in zip(self._constants, now, self._versions, strict=True) if a != b)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The module as it was; afterwards everything is as it is now."""
        others = {id(v.of): v.another() for v in self._values if isinstance(v, _TensorValue)}
        for memory in self._shared:
            others |= memory.others()
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

    def _look_at(self, pending: list[Any], seen: set[int]) -> None:
        while pending and len(seen) < _MOST_OBJECTS:
            x = pending.pop()
            if type(x) in _PLAIN or id(x) in seen:
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
                    self._values.append(_TensorValue(x))
            elif isinstance(x, np.ndarray):
                self._values.append(_ArrayValue(x))
            elif isinstance(x, _GENERATORS) and not isinstance(x, random.SystemRandom):
                self._values.append(_GeneratorValue(x))
            elif isinstance(x, dict):
                self._places.append(_DictPlace(x))
                pending += x.values()
            elif isinstance(x, _CONTAINERS):
                self._places.append(_Place(x))
                pending += () if isinstance(x, _NUMBERS) else x
            elif isinstance(x, tuple):
                pending += x
            elif isinstance(x, CellType):
                self._places.append(_VariablePlace(x))
                pending += _content_of(x)
            elif isinstance(x, MethodType):
                pending += (x.__self__, x.__func__)
            elif isinstance(x, partial):
                pending += (x.func, x.args, x.keywords)
            elif isinstance(x, FunctionType):
                if not _is_known(x):
                    pending += (*(x.__closure__ or ()), x.__defaults__, x.__kwdefaults__, vars(x))
            elif isinstance(x, type):
                if not _without_state(x):
                    self._places.append(_ClassPlace(x))
                    pending += _data_of_class(x).values()
                    pending += _functions_of_class(x)
            else:
                if _has_attributes(x):
                    pending.append(vars(x))
                if slots := _slots(type(x)):
                    self._places.append(_SlotsPlace(x))
                    pending += (getattr(x, name, None) for name in slots)

    def _look_at_module(self, module: nn.Module, pending: list[Any]) -> None:
        attributes, kind = module.__dict__, type(module)
        foreign = not _without_state(kind)
        self._modes.append((module, module.training))
        if parameters := attributes["_parameters"]:
            self._places.append(_DictPlace(parameters))
            self._hold_constant(p for p in parameters.values() if p is not None)
        if buffers := attributes["_buffers"]:
            self._places.append(_DictPlace(buffers))
            if module.training or foreign:
                pending += buffers.values()
            else:
                self._hold_constant(b for b in buffers.values() if b is not None)
        if self.foreign:  # others may give any module of theirs an attribute
            self._places.append(_DictPlace(attributes))
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


class _Place:
    """What a container holds.

    Args:
        container: a list, deque, set, bytearray or array. A later call, or others, may change it before this call,
            which did not, is repeated.
    """

    def __init__(self, container: Any):
        self.container = container
        self.moves = False  # whether the call changes it
        self.before = self.content()

    def content(self) -> Any:
        """A copy of what it holds now."""
        return self.container[:] if isinstance(self.container, array) else self.container.copy()

    def changed(self) -> bool:
        """Whether it holds other objects than before, or in another order."""
        before, now = self.before, self.container
        if isinstance(now, set | _NUMBERS):
            return before != now
        return len(before) != len(now) or not all(map(is_, before, now))

    def held(self, identities: Set[int]) -> bool:
        """Whether it held, directly or in a tuple, one of the objects with these identities."""
        return not isinstance(self.before, _NUMBERS) and _hold(self.before, identities)

    def put(self, content: Any) -> None:
        """Hold this in place of what it holds."""
        container = self.container
        if isinstance(container, list | _NUMBERS):
            container[:] = content
        else:
            container.clear()
            (container.extend if isinstance(container, deque) else container.update)(content)


class _DictPlace(_Place):
    """A dictionary, of attributes for example."""

    def content(self) -> Any:
        return self.container.copy()

    def changed(self) -> bool:
        before, now = self.before, self.container
        if len(before) != len(now) or not all(map(is_, before.values(), now.values())):
            return True
        return not all(map(is_, before, now))

    def held(self, identities: Set[int]) -> bool:
        return _hold(self.before.values(), identities)

    def put(self, content: Any) -> None:
        container = self.container
        if list(container) != list(content):
            container.clear()
        container.update(content)


class _NamesPlace(_DictPlace):
    """The values of some names of an object."""

    def content(self) -> dict[str, Any]:
        raise NotImplementedError

    def changed(self) -> bool:
        now = self.content()
        return self.before.keys() != now.keys() or any(self.before[name] is not now[name] for name in now)

    def put(self, content: Mapping[str, Any]) -> None:
        for name in self.content().keys() - content.keys():
            self._delete(name)
        for name, value in content.items():
            self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self.container, name, value)

    def _delete(self, name: str) -> None:
        object.__delattr__(self.container, name)


class _ClassPlace(_NamesPlace):
    """The numbers, tensors and containers that a class holds."""

    def content(self) -> dict[str, Any]:
        return _data_of_class(self.container)

    def _set(self, name: str, value: Any) -> None:
        setattr(self.container, name, value)

    def _delete(self, name: str) -> None:
        delattr(self.container, name)


class _SlotsPlace(_NamesPlace):
    """The slots of an object, frozen or not."""

    def content(self) -> dict[str, Any]:
        x = self.container
        return {name: getattr(x, name) for name in _slots(type(x)) if hasattr(x, name)}


class _VariablePlace(_NamesPlace):
    """A variable that a function closes over."""

    def content(self) -> dict[str, Any]:
        return dict(zip(("cell_contents",), _content_of(self.container), strict=False))

    def _set(self, name: str, value: Any) -> None:
        setattr(self.container, name, value)

    def _delete(self, name: str) -> None:
        delattr(self.container, name)


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

    def small(self) -> bool:
        """Whether it may be kept without need."""
        return False


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
        if self.of.layout != torch.strided or self.of.is_nested or self.of.device.type != "cpu":
            return False
        return not torch.equal(self.of.detach(), self.before)

    def small(self) -> bool:
        """Others would have to be looked at, and a device waited for."""
        return self.of.numel() <= _SMALL

    def another(self) -> Tensor:
        """A tensor of the value that it had, with a gradient if it had one."""
        if not self.of.requires_grad:
            return self.before.clone()
        with torch.enable_grad():
            return self.before.requires_grad_().clone()


class _SharedMemory:
    """The memory in which several tensors of one type are, as a tensor and its views: what one writes, all read."""

    def __init__(self, values: Sequence[_TensorValue]):
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


def _shared_memories(values: Sequence[_TensorValue]) -> list[_SharedMemory]:
    groups = dict[tuple[int, torch.dtype], list[_TensorValue]]()
    for value in values:
        x = value.of
        if x.layout == torch.strided and not x.is_nested and not x.is_inference() and x.numel():
            groups.setdefault((x.untyped_storage()._cdata, x.dtype), []).append(value)
    return [_SharedMemory(group) for group in groups.values() if len(group) > 1]


class _ArrayValue(_Value):
    def read(self) -> np.ndarray:
        return self.of.copy()

    def write(self, value: np.ndarray) -> None:
        self.of[...] = value

    def changed(self) -> bool:
        return self.of.tobytes() != self.before.tobytes()  # a NaN equals itself

    def small(self) -> bool:
        return self.of.size <= _SMALL


class _GeneratorValue(_Value):
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


def _hold(held: Iterable[Any], identities: Set[int]) -> bool:
    if not identities:
        return False
    return any(id(x) in identities or (type(x) not in _PLAIN and _is_among(x, identities)) for x in held)


def _is_among(x: Any, identities: Set[int]) -> bool:
    return id(x) in identities or (isinstance(x, tuple) and any(_is_among(part, identities) for part in x))


def _with_others(content: Any, others: Mapping[int, Tensor]) -> Any:
    """A copy of what a container holds, with other tensors in place of some."""
    if not others or isinstance(content, _NUMBERS):
        return content
    if isinstance(content, dict):
        return {name: _or_other(x, others) for name, x in content.items()}
    return [_or_other(x, others) for x in content]


def _or_other(x: Any, others: Mapping[int, Tensor]) -> Any:
    if isinstance(x, tuple) and _is_among(x, others.keys()):
        parts = [_or_other(part, others) for part in x]
        return tuple.__new__(type(x), parts)
    return others.get(id(x), x)


def _checksum(x: np.ndarray) -> int:
    return zlib.crc32(x.tobytes())


def _modules(module: nn.Module) -> list[nn.Module]:
    """The module and those in it, each once."""
    pending, found = [module], dict[int, nn.Module]()
    while pending:
        m = pending.pop()
        if id(m) not in found:
            found[id(m)] = m
            pending += (child for child in m._modules.values() if child is not None)
    return list(found.values())


def _data_of_class(kind: type) -> dict[str, Any]:
    kinds = (bool, int, float, complex, Tensor, np.ndarray, *_CONTAINERS)
    return {name: x for name, x in vars(kind).items() if not name.startswith("__") and isinstance(x, kinds)}


@lru_cache(maxsize=1024)
def _functions_of_class(kind: type) -> list[FunctionType]:
    """Its functions that close over variables, or have defaults."""
    functions = [x for x in vars(kind).values() if isinstance(x, FunctionType)]
    return [f for f in functions if f.__closure__ or f.__defaults__ or f.__kwdefaults__]


@lru_cache(maxsize=1024)
def _slots(kind: type) -> list[str]:
    """The names of the slots of a class, as attributes are found under them."""
    names = list[str]()
    for base in kind.__mro__:
        slots = () if _without_state(base) else vars(base).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def _content_of(variable: CellType) -> tuple[Any, ...]:
    """The value of a variable that a function closes over, if it has one yet."""
    try:
        return (variable.cell_contents,)
    except ValueError:
        return ()


def _has_attributes(x: Any) -> bool:
    """Whether an object has attributes that may be state."""
    if isinstance(x, _CONTAINERS_OF_OBJECTS):
        return True
    return hasattr(x, "__dict__") and not isinstance(x, Enum) and not _without_state(type(x))


@lru_cache(maxsize=1024)
def _without_state(kind: type) -> bool:
    return _is_known(kind)


def _is_known(x: type | FunctionType) -> bool:
    return (x.__module__ or "").partition(".")[0] in _WITHOUT_STATE

"""Places that hold values: containers, attributes, slots and variables that functions close over."""

import sys
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from operator import is_
from types import CellType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size})
"""Types of which an object holds nothing and never changes."""
NUMBERS = bytearray | array
CONTAINERS = (dict, list, deque, set, bytearray, array)
WITHOUT_STATE = frozenset({"torch", "torchvision", "timm", "numpy", "triton", "trevsnn", *sys.stdlib_module_names})
"""Packages whose objects remember nothing, but for the buffers of modules and what stands above and below."""


class Place:
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
        if isinstance(now, set | NUMBERS):
            return before != now
        return len(before) != len(now) or not all(map(is_, before, now))

    def held(self, identities: Set[int]) -> bool:
        """Whether it held, directly or in a tuple, one of the objects with these identities."""
        return not isinstance(self.before, NUMBERS) and hold(self.before, identities)

    def put(self, content: Any) -> None:
        """Hold this in place of what it holds."""
        container = self.container
        if isinstance(container, list | NUMBERS):
            container[:] = content
        else:
            container.clear()
            (container.extend if isinstance(container, deque) else container.update)(content)


class DictPlace(Place):
    """A dictionary, of attributes for example."""

    def content(self) -> Any:
        return self.container.copy()

    def changed(self) -> bool:
        before, now = self.before, self.container
        if len(before) != len(now) or not all(map(is_, before.values(), now.values())):
            return True
        return not all(map(is_, before, now))

    def held(self, identities: Set[int]) -> bool:
        return hold(self.before.values(), identities)

    def put(self, content: Any) -> None:
        container = self.container
        if list(container) != list(content):
            container.clear()
        container.update(content)


class NamesPlace(DictPlace):
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


class ClassPlace(NamesPlace):
    """The numbers, tensors and containers that a class holds."""

    def content(self) -> dict[str, Any]:
        return data_of_class(self.container)

    def _set(self, name: str, value: Any) -> None:
        setattr(self.container, name, value)

    def _delete(self, name: str) -> None:
        delattr(self.container, name)


class SlotsPlace(NamesPlace):
    """The slots of an object, frozen or not."""

    def content(self) -> dict[str, Any]:
        x = self.container
        return {name: getattr(x, name) for name in slots_of(type(x)) if hasattr(x, name)}


class VariablePlace(NamesPlace):
    """A variable that a function closes over."""

    def content(self) -> dict[str, Any]:
        return dict(zip(("cell_contents",), content_of(self.container), strict=False))

    def _set(self, name: str, value: Any) -> None:
        setattr(self.container, name, value)

    def _delete(self, name: str) -> None:
        delattr(self.container, name)


def hold(held: Iterable[Any], identities: Set[int]) -> bool:
    if not identities:
        return False
    return any(id(x) in identities or (type(x) not in PLAIN and _is_among(x, identities)) for x in held)


def _is_among(x: Any, identities: Set[int]) -> bool:
    return id(x) in identities or (isinstance(x, tuple) and any(_is_among(part, identities) for part in x))


def with_others(content: Any, others: Mapping[int, Tensor]) -> Any:
    """A copy of what a container holds, with other tensors in place of some."""
    if not others or isinstance(content, NUMBERS):
        return content
    if isinstance(content, dict):
        return {name: _or_other(x, others) for name, x in content.items()}
    return [_or_other(x, others) for x in content]


def _or_other(x: Any, others: Mapping[int, Tensor]) -> Any:
    if isinstance(x, tuple) and _is_among(x, others.keys()):
        parts = [_or_other(part, others) for part in x]
        return tuple.__new__(type(x), parts)
    return others.get(id(x), x)


def data_of_class(kind: type) -> dict[str, Any]:
    kinds = (bool, int, float, complex, Tensor, np.ndarray, *CONTAINERS)
    return {name: x for name, x in vars(kind).items() if not name.startswith("__") and isinstance(x, kinds)}


@lru_cache(maxsize=1024)
def slots_of(kind: type) -> list[str]:
    """The names of the slots of a class, as attributes are found under them."""
    names = list[str]()
    for base in kind.__mro__:
        slots = () if without_state(base) else vars(base).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def content_of(variable: CellType) -> tuple[Any, ...]:
    """The value of a variable that a function closes over, if it has one yet."""
    try:
        return (variable.cell_contents,)
    except ValueError:
        return ()


@lru_cache(maxsize=1024)
def without_state(kind: type) -> bool:
    return is_known(kind)


def is_known(x: type | FunctionType) -> bool:
    return (x.__module__ or "").partition(".")[0] in WITHOUT_STATE

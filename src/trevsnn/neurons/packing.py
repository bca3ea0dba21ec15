"""Keeping less for the backward pass: bits in place of spikes, recipes in place of what is cheap to compute again.

Inside `packed_activations()`, where an operator saves a tensor for its backward pass that is known to be a
function of something smaller (`keep_as`), that something is kept, and the tensor is made again when the
backward pass asks for it. The graph and every value in it stay what they are without.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class _Recipe:
    """Makes a tensor anew whenever it is asked for, once for all who kept it if they ask in one backward pass."""

    def __init__(self, make: Callable[[], Tensor]):
        self._make = make
        self._keepers = self._waiting = 0
        self._made: Tensor | None = None

    def keep(self) -> "_Recipe":
        self._keepers += 1
        self._waiting = self._keepers
        return self

    def __call__(self) -> Tensor:
        made = self._make() if self._made is None else self._made
        self._waiting -= 1
        self._made = made if self._waiting else None
        self._waiting = self._waiting or self._keepers
        return made


_Recipes = dict[int, tuple[ref, int, _Recipe]]  # by address: the tensor there, its version, its recipe

_recipes: ContextVar[_Recipes | None] = ContextVar("recipes", default=None)


def packing() -> bool:
    """Whether a `packed_activations()` is active and operators keep anything."""
    return _recipes.get() is not None and torch.is_grad_enabled()


@contextmanager
def packed_activations() -> Iterator[None]:
    """While it is active, operators keep what `keep_as` says in place of the tensor itself."""
    token = _recipes.set({})
    try:
        with saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        _recipes.reset(token)


def keep_as(tensor: Tensor, recipe: Callable[[], Tensor]) -> Tensor:
    """tensor; what `recipe()` needs is kept in its place, as long as it returns an equal tensor of equal strides."""
    recipes = _recipes.get()
    if recipes is not None:
        recipes[tensor.data_ptr()] = ref(tensor), tensor._version, _Recipe(recipe)
    return tensor


def cheap(function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """`function(*inputs)`, an operation cheap enough to do again rather than to keep its result."""
    output = function(*inputs)
    if not packing():
        return output
    context, sources = same_autocast(output.device.type), [_source(x) for x in inputs]

    def recipe() -> Tensor:
        with torch.no_grad(), context():
            return function(*[source() for source in sources])

    return keep_as(output, recipe)


def same_autocast(device: str) -> Callable[[], AbstractContextManager]:
    """Makes contexts with the autocast state of this moment."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return partial(torch.autocast, device, dtype, enabled=enabled, cache_enabled=False)


def _source(tensor: Tensor | None) -> Callable[[], Tensor | None]:
    recipe = None if tensor is None else _recipe(tensor)
    return (lambda: tensor) if recipe is None else recipe.keep()


def _recipe(tensor: Tensor) -> _Recipe | None:
    known, version, recipe = (_recipes.get() or {}).get(tensor.data_ptr(), (None, 0, None))
    original = known and known()  # gone when another tensor may live there now
    if original is None or original._version != version:
        return None
    same = all(getattr(original, name) == getattr(tensor, name) for name in ("shape", "dtype"))
    return recipe if same and original.stride() == tensor.stride() else None


def _pack(tensor: Tensor) -> Any:
    recipe = _recipe(tensor)
    if recipe is None:
        return tensor.detach(), tensor._version  # itself would keep its own graph alive, out of Python's sight
    return recipe.keep()


def _unpack(kept: Any) -> Tensor:
    if not isinstance(kept, tuple):
        return kept()
    tensor, version = kept
    if tensor._version != version:
        raise RuntimeError(
            "a tensor needed for the backward pass was modified in place since the forward pass; call backward() "
            "before optimizer.step(), or use memory='stored' to see which one"
        )
    return tensor

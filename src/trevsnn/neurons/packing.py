"""Keeping less for the backward pass: bits in place of spikes, and what is cheap to compute again not at all.

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


class _Remake:
    """Makes a tensor anew whenever it is asked for, once for all who kept it if they ask in one backward pass."""

    def __init__(self, make: Callable[[], Tensor]):
        self._make = make
        self._keepers = self._waiting = 0
        self._made: Tensor | None = None

    def keep(self) -> "_Remake":
        self._keepers += 1
        self._waiting = self._keepers
        return self

    def __call__(self) -> Tensor:
        made = self._make() if self._made is None else self._made
        self._waiting -= 1
        self._made = made if self._waiting else None
        self._waiting = self._waiting or self._keepers
        return made


_Remakes = dict[int, tuple[ref, int, _Remake]]  # by address: the tensor there, its version, how to make it again

_remakes: ContextVar[_Remakes | None] = ContextVar("remakes", default=None)


def packing() -> bool:
    """Whether a `packed_activations()` is active and operators keep anything."""
    return _remakes.get() is not None and torch.is_grad_enabled()


@contextmanager
def packed_activations() -> Iterator[None]:
    """While it is active, operators keep what `keep_as` says in place of the tensor itself."""
    token = _remakes.set({})
    try:
        with saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        _remakes.reset(token)


def keep_as(tensor: Tensor, remake: Callable[[], Tensor]) -> Tensor:
    """tensor; what `remake()` needs is kept in its place, as long as it returns an equal tensor of equal strides."""
    remakes = _remakes.get()
    if remakes is not None:
        remakes[tensor.data_ptr()] = ref(tensor), tensor._version, _Remake(remake)
    return tensor


def cheap(function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """`function(*inputs)`, an operation cheap enough to do again rather than to keep its result."""
    output = function(*inputs)
    if not packing():
        return output
    context, sources = same_autocast(output.device.type), [_source(x) for x in inputs]

    def remake() -> Tensor:
        with torch.no_grad(), context():
            return function(*[source() for source in sources])

    return keep_as(output, remake)


def same_autocast(device: str) -> Callable[[], AbstractContextManager]:
    """Makes contexts with the autocast state of this moment."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return partial(torch.autocast, device, dtype, enabled=enabled, cache_enabled=False)


def _source(tensor: Tensor | None) -> Callable[[], Tensor | None]:
    remake = None if tensor is None else _remake_of(tensor)
    return (lambda: tensor) if remake is None else remake.keep()


def _remake_of(tensor: Tensor) -> _Remake | None:
    known, version, remake = (_remakes.get() or {}).get(tensor.data_ptr(), (None, 0, None))
    original = known and known()  # gone when another tensor may live there now
    if original is None or original._version != version:
        return None
    same = all(getattr(original, name) == getattr(tensor, name) for name in ("shape", "dtype"))
    return remake if same and original.stride() == tensor.stride() else None


def _pack(tensor: Tensor) -> Any:
    remake = _remake_of(tensor)
    if remake is None:
        return tensor.detach(), tensor._version  # itself would keep its own graph alive, out of Python's sight
    return remake.keep()


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

"""The last guard of exactness: whether what ran again in the backward pass gave the same result, to the bit.

A cell that remembers something, or draws random numbers, where `trevsnn.reversible.state` does not find it gives
another result when it runs again, and its gradients are wrong. So the forward pass takes a fingerprint of every result
that is not kept, and the backward pass compares: a weighted sum of the bits, one integer for a whole result. State that
moves no spike moves what operators keep for their gradients, so values out of that are compared in the same way
(`Kept`).

Where operators may round differently from run to run, as on a GPU without deterministic algorithms, unequal bits are
not a fault by themselves. There a few values of every sample are kept too, and results differ where more of them do
than rounding explains. Nothing waits for a GPU before the backward pass is over.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C._autograd import _top_saved_tensors_default_hooks as _top_hooks
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PER_SAMPLE = 4
_WIDTH = 1024
_ROUNDING = 0.02
"""Values that differ by a larger part of their size differ by more than rounding."""
_FEW = 1 / 16
"""Share of values that may do so: rounding moves a few neurons over their thresholds."""
_KEPT_VALUES = 256
"""Of a tensor that an operator keeps, about so many are compared."""
_RUN = 16
"""Neighbours that are read at once."""
_runs = count()


class ReplayError(RuntimeError):
    """What a module computed when it ran again in the backward pass is not what it computed at first."""


class Fingerprint(NamedTuple):
    """Of a result, or of some of its samples."""

    bits: Tensor
    """int64, ()."""
    values: Tensor | None
    """(samples, a few); None where equal results have equal bits."""

    @classmethod
    def of(cls, x: Tensor, first: int = 0) -> "Fingerprint":
        """Of the samples from the number `first` on, x (N, ...). Those of parts of one layout add up to that of all.

        It is cheap on purpose, in few operators: a step takes many.
        """
        x = x if x.dim() > 1 else x.reshape(-1, 1)
        rows = _rows(torch.view_as_real(x) if x.is_complex() else x)
        places, blocks = rows.sum(0, dtype=torch.int64), rows.sum(1, dtype=torch.int64)
        bits = _weighted(places) + _weighted(blocks, first * len(rows) // max(1, len(x)))
        return cls(bits, None if _repeats_exactly(x.device) else _some_values(x))

    def plus(self, other: "Fingerprint") -> "Fingerprint":
        """Of these samples and others."""
        if self.values is None or other.values is None:
            return Fingerprint(self.bits + other.bits, None)
        return Fingerprint(self.bits + other.bits, torch.cat((self.values, other.values)))

    def differs(self, other: "Fingerprint") -> Tensor:
        """Whether the results differ by more than rounding: a bool on their device, ()."""
        unequal = self.bits != other.bits
        if self.values is None or other.values is None:
            return unequal
        apart = (self.values - other.values).abs() > _ROUNDING * torch.maximum(self.values.abs(), other.values.abs())
        return unequal & (apart.float().mean() > _FEW)


def check(first: Fingerprint, again: Fingerprint, name: str, what: str = "gave another result") -> None:
    """Compare two runs of a module, within a backward pass: on a CPU at once, else when that pass is over.

    Raises:
        ReplayError: when they differ.
    """
    differs = first.differs(again)
    if _is_waited_for(differs.device):
        torch.autograd.Variable._execution_engine.queue_callback(lambda: _refuse(differs, name, what))
    else:
        _refuse(differs, name, what)


class Kept:
    """What operators keep for their backward pass while a module runs.

    Args:
        first: of the first run, in the run that repeats it.
        compared: whether values are, in the first run; else only their number is.
    """

    def __init__(self, first: "Kept | None" = None, compared: bool = True):
        self.first = first
        self.compared = compared if first is None else first.compared
        self.number = 0
        self.fingerprint: Fingerprint | None = None
        """Once the run is over; None where nothing was kept."""
        self._shift = next(_runs) if first is None else first._shift  # other values in every training step
        self._values: list[Tensor] = []
        self._versions: list[tuple[Tensor, int]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it is active, operators keep what they keep, as the hooks around it say, and it is noted."""
        around = _top_hooks(True)
        if around is None:
            yield
            return
        pack, unpack = around

        def pack_and_note(x: Tensor) -> Any:
            kept = pack(x)
            self.note(x, kept)
            return kept

        # PyTorch's checkpoint, in a module, shall not take them for hooks of the user
        pack_and_note._checkpoint_internal, pack_and_note._user_hooks = True, None  # type: ignore[attr-defined]
        with saved_tensors_hooks(pack_and_note, unpack):
            yield
        self.finish()

    def note(self, x: Tensor, kept: Any) -> None:
        """An operator keeps x, or what stands for it."""
        self.number += 1
        if self.first is not None and isinstance(kept, Tensor) and not kept.is_inference():
            self._versions.append((kept, kept._version))
        if not self.compared or isinstance(x, nn.Parameter) or x.layout != torch.strided or not x.numel():
            return
        if not self._values or x.device == self._values[0].device:  # but for numbers that stay on the CPU
            self._values.append(_spread_values(x.detach(), self._shift))

    def finish(self) -> None:
        """The run is over."""
        if self._values:
            self.fingerprint = _of_values(torch.cat(self._values))
        self._values = []

    def check(self, name: str) -> None:
        """Compare with the first run.

        Raises:
            ReplayError: when something else was kept, or a part of it changed afterwards.
        """
        versions, self._versions = self._versions, []
        if any(tensor._version != version for tensor, version in versions):
            raise ReplayError(
                f"{name} changes in place a tensor that one of its operators needs for its gradient; use another "
                "operator in its place, or memory='stored' to see which one"
            )
        if self.first is None:
            return
        what = "kept other values for its gradients"
        if self.first.number != self.number:
            raise _error(name, what)
        if self.first.fingerprint is not None and self.fingerprint is not None:
            check(self.first.fingerprint, self.fingerprint, name, what)


class Watch(Function):
    """The result of a module that runs again in the backward pass, where it is compared.

    Inputs: the result, the module's name, whether this is a run after the first.
    """

    @staticmethod
    def forward(ctx, x, name, replaying):
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        ctx.called, ctx.first = name, None if replaying else Fingerprint.of(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        (again,) = ctx.saved_tensors
        check(ctx.first, Fingerprint.of(again), ctx.called)
        return grad, None, None


def _rows(x: Tensor) -> Tensor:
    """The bits of x (N, ...) as integers, the largest that fit, in its order in memory: every sample in some rows."""
    if not x.is_contiguous() and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    flat = x.flatten(1)
    try:
        rows = flat.view(torch.int64)
    except RuntimeError:  # their bytes do not fill integers
        rows = flat.view(_INTEGERS[x.element_size()])
    width = rows.shape[1]
    while width > _WIDTH and width % 2 == 0:
        width //= 2
    return rows.view(-1, width) if width < rows.shape[1] else rows


def _weighted(sums: Tensor, first: int = 0) -> Tensor:
    """Their sum, int64, each times an odd number of its own: that of the first after `first` others."""
    stop = first + len(sums)
    if stop <= len(_ODD_NUMBERS) and type(sums) is Tensor:  # none that only stands for one
        weights = _odd_numbers(sums.device)[first:stop]
    else:
        weights = torch.arange(2 * first + 1, 2 * stop + 1, 2, device=sums.device)
    return torch.dot(sums, weights) if sums.device.type == "cpu" else (sums * weights).sum()  # no dot of these on a GPU


_ODD_NUMBERS = torch.arange(1, 2**13, 2)


@lru_cache(maxsize=16)
def _odd_numbers(device: torch.device) -> Tensor:
    return _ODD_NUMBERS.to(device)


def _is_waited_for(device: torch.device) -> bool:
    return device.type != "cpu"


def _repeats_exactly(device: torch.device) -> bool:
    return device.type == "cpu" or torch.are_deterministic_algorithms_enabled()


def _some_values(x: Tensor) -> Tensor:
    """A few values of every sample of x (N, C, ...), in the middle of its map, (N, a few)."""
    channels = slice(None, None, max(1, x.shape[1] // _PER_SAMPLE))
    return x[(slice(None), channels, *(size // 2 for size in x.shape[2:]))].float()


def _spread_values(x: Tensor, shift: int) -> Tensor:
    """Some values of x, in short runs spread over it, (a few,), float64; another shift gives others."""
    x = torch.view_as_real(x) if x.is_complex() else x
    *others, last = x.shape or (1,)
    run = min(last, _RUN)
    each = max(1, round((_KEPT_VALUES / run) ** (1 / max(1, len(others)))))
    start = shift * run % (last - run + 1)
    places = (*(_spread(size, min(size, each), shift) for size in others), slice(start, start + run))
    return x[places if x.dim() else ()].reshape(-1).double()


def _spread(size: int, count: int, shift: int) -> slice:
    """So many numbers below size, as far from each other as can be."""
    step = size // count
    start = shift % step
    return slice(start, start + count * step, step)


def _of_values(values: Tensor) -> Fingerprint:
    """Of values (a few,), float64."""
    return Fingerprint(_weighted(values.view(torch.int64)), None if _repeats_exactly(values.device) else values[None])


def _refuse(differs: Tensor, name: str, what: str) -> None:
    if differs.item():
        raise _error(name, what)


def _error(name: str, what: str) -> ReplayError:
    return ReplayError(
        f"{name} {what} when it ran again in the backward pass, so its gradients would be wrong: it "
        "depends on something that changes between its calls and that it does not hold itself (a global variable, "
        "an iterator, a random generator elsewhere). Keep that in attributes or buffers of the module, or use "
        "memory='packed' or 'stored'"
    )

"""The last guard of exactness: whether what ran again in the backward pass gave the same result, to the bit.

A cell that remembers something, or draws random numbers, where `trevsnn.reversible.state` does not find it gives
another result when it runs again, and its gradients are wrong. So the forward pass takes a fingerprint of every result
that is not kept, and the backward pass compares: a weighted sum of the bits, one integer for a whole result.

Where operators may round differently from run to run, as on a GPU without deterministic algorithms, unequal bits are no
fault by themselves. There a few values of every sample are kept too, and results differ where more of them do than
rounding explains. Nothing waits for a GPU before the backward pass is over.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PER_SAMPLE = 4
_ROUNDING = 0.02
"""Values that differ by a larger part of their size differ by more than rounding."""
_FEW = 1 / 16
"""Share of values that may do so: rounding moves a few neurons over their thresholds."""


class ReplayError(RuntimeError):
    """A module gave another result when it ran again in the backward pass."""


class Fingerprint(NamedTuple):
    """Of a result, or of some of its samples."""

    bits: Tensor
    """int64, ()."""
    values: Tensor | None
    """(samples, a few); None where equal results have equal bits."""

    @classmethod
    def of(cls, x: Tensor, first: int = 0) -> "Fingerprint":
        """Of the samples from the number `first` on, x (N, ...). Those of parts add up to that of all."""
        x = x.detach()
        x = torch.view_as_real(x) if x.is_complex() else x
        bits = x if x.dtype == torch.bool else x.view(_INTEGERS[x.element_size()])
        places = tuple(range(2, x.dim()))
        features = bits.sum(dim=places, dtype=torch.int64) if places else bits.long()  # (N, C)
        total = (features * _weights(features.shape, first * features[:1].numel(), x.device)).sum()
        if places:
            maps = bits.sum(dim=(0, 1), dtype=torch.int64)
            total = total + (maps * _weights(maps.shape, 0, x.device)).sum()
        return cls(total, None if _repeats_exactly(x.device) else _some_values(x))

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


def check(first: Fingerprint, again: Fingerprint, name: str) -> None:
    """Compare two runs of a module, within a backward pass: on a CPU at once, else when that pass is over.

    Raises:
        ReplayError: when they differ.
    """
    differs = first.differs(again)
    if _is_waited_for(differs.device):
        torch.autograd.Variable._execution_engine.queue_callback(lambda: _refuse(differs, name))
    else:
        _refuse(differs, name)


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


def _weights(shape: torch.Size, first: int, device: torch.device) -> Tensor:
    """Odd numbers without a pattern, from the one with the number `first` on."""
    numbers = torch.arange(first, first + shape.numel(), dtype=torch.int64, device=device)
    return (numbers * 0x9E3779B97F4A7C1 ^ numbers.mul(0x5851F42D4C957F) >> 29).bitwise_or_(1).view(shape)


def _is_waited_for(device: torch.device) -> bool:
    return device.type != "cpu"


def _repeats_exactly(device: torch.device) -> bool:
    return device.type == "cpu" or torch.are_deterministic_algorithms_enabled()


def _some_values(x: Tensor) -> Tensor:
    """A few values of every sample of x (N, C, ...), in the middle of its map, (N, a few)."""
    if x.dim() < 2:
        return x.float().reshape(len(x), -1)
    channels = slice(None, None, max(1, x.shape[1] // _PER_SAMPLE))
    return x[(slice(None), channels, *(size // 2 for size in x.shape[2:]))].float()


def _refuse(differs: Tensor, name: str) -> None:
    if differs.item():
        raise ReplayError(
            f"{name} gave another result when it ran again in the backward pass, so its gradients would be wrong: it "
            "depends on something that changes between its calls and that it does not hold itself (a global variable, "
            "an iterator, a random generator elsewhere). Keep that in attributes or buffers of the module, or use "
            "memory='packed' or 'stored'"
        )

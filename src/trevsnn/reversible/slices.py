"""Cells that finish sample by sample, so that they can run in slices of the batch.

Most of a cell treats every sample by itself; batch statistics are the usual exception. Such a cell returns
not f but `Sliced`, what remains to be done for it. Only one slice at a time then has its intermediate
results in memory, and in the backward pass of `memory="reversible"` only one slice at a time runs again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd import Function

Body = Callable[[Sequence[Tensor | None], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Sliced:
    """f = body(samples, shared), in slices of the batch. A cell may return it in place of f.

    Slices add the gradients of `shared` in another order than the whole batch does, so networks with equal
    sizes of slices agree bit for bit, others within rounding.
    """

    body: Body
    """A pure function that treats every sample by itself: no batch statistics, random numbers or changed buffers, and
    no parameters but those in `shared`, each used once."""
    samples: Sequence[Tensor | None]
    """What differs between samples, each (N, ...) or None."""
    shared: Sequence[Tensor]
    """What all samples share: weights, as they are applied."""
    size: int
    """Samples per slice, at least 1; the last slice may have fewer."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size} must be at least 1 sample per slice")

    def bounds(self) -> list[tuple[int, int]]:
        """First and last sample (exclusive) of every slice."""
        batch = next(len(x) for x in self.samples if x is not None)
        return [(start, min(start + self.size, batch)) for start in range(0, batch, self.size)] or [(0, 0)]

    def parts(self) -> Iterator[list[Tensor | None]]:
        """The samples of each slice in turn."""
        slices = [None if x is None else x.split(self.size) for x in self.samples]
        for i in range(len(self.bounds())):
            yield [None if part is None else part[i] for part in slices]

    def run(self) -> Tensor:
        """f, by ordinary autograd."""
        if not torch.is_grad_enabled():
            return self.run_without_graph()
        samples = [None if x is None else _LikeItself.apply(x) for x in self.samples]
        shared = [w.view_as(w) for w in self.shared]  # one gradient per cell, however many slices there are
        results = [self.body(part, shared) for part in replace(self, samples=samples).parts()]
        return results[0] if len(results) == 1 else torch.cat(results)

    def run_without_graph(self) -> Tensor:
        """f, never holding the results of all slices twice."""
        bounds = self.bounds()
        with torch.no_grad():
            if len(bounds) == 1:
                return self.body(self.samples, self.shared)
            f = None
            for (start, stop), part in zip(bounds, self.parts(), strict=True):
                result = self.body(part, self.shared)
                f = _room_for(bounds[-1][1], result) if f is None else f
                f[start:stop] = result
        assert f is not None, "there are slices"
        return f

    def backward(
        self, grad: Tensor, needed: Sequence[bool], see: Callable[[Tensor, slice], None]
    ) -> list[Tensor | None]:
        """Run every slice forwards and at once backwards.

        Args:
            grad: gradient of f.
            needed: which samples and shared tensors need theirs.
            see: called with f of a slice and the samples that it holds.

        Returns:
            The gradients of the samples and then the shared tensors, None where there is none.
        """
        count, bounds = len(self.samples), self.bounds()
        grads: list[Tensor | None] = [None] * count
        shared = [w.detach().requires_grad_(need) for w, need in zip(self.shared, needed[count:], strict=True)]
        for (start, stop), part in reversed(list(zip(bounds, self.parts(), strict=True))):  # autograd's order
            samples = [x if x is None else x.detach().requires_grad_(n) for x, n in zip(part, needed, strict=False)]
            with torch.enable_grad():
                f = self.body(samples, shared)
            if f.requires_grad:
                f.backward(grad[start:stop])  # the shared tensors, leaves of ours, add up their gradients
            see(f.detach(), slice(start, stop))
            for i, (x, whole) in enumerate(zip(samples, self.samples, strict=True)):
                if x is None or x.grad is None or whole is None:
                    continue
                if len(bounds) == 1:
                    grads[i] = x.grad
                    continue
                grad_of_all = grads[i] = torch.zeros_like(whole) if grads[i] is None else grads[i]
                grad_of_all[start:stop] = x.grad  # type: ignore[index]
        return [*grads, *(w.grad for w in shared)]


class _LikeItself(Function):
    """Identity whose gradient has the memory layout of x, as a leaf's has; sums depend on it in their last bit."""

    @staticmethod
    def forward(ctx, x):
        ctx.strides = x.stride()
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        if grad.stride() == ctx.strides:
            return grad
        return torch.empty_strided(grad.shape, ctx.strides, dtype=grad.dtype, device=grad.device).copy_(grad)


def _room_for(batch: int, part: Tensor) -> Tensor:
    """Uninitialised memory for the whole batch, in the layout of a part of it."""
    row_major = part.dim() != 4 or part.is_contiguous()
    layout = torch.contiguous_format if row_major else torch.channels_last
    return torch.empty((batch, *part.shape[1:]), dtype=part.dtype, device=part.device, memory_format=layout)

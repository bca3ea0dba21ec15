"""Adaptive gradient clipping.

The gradient g of a unit, one output of a layer, is scaled so that its norm is at most a share lambda of that of the
unit's weights w; a bias or norm is a unit as a whole:

    g <- g * min(1, lambda * max(|w|, eps) / |g|)

timm does it layer by layer, in ten operators each. On a GPU, where every operator takes time to start, the gradients of
many layers are one vector here, and units are segments of it: the same but for rounding.

Source: Brock et al., High-Performance Large-Scale Image Recognition Without Normalization, 2021.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

import torch
from timm.utils.agc import adaptive_clip_grad
from torch import Tensor

EPS = 1e-3
"""Norm that the weights of a unit have at least."""
_SMALLEST = 1e-6
_MOST_VALUES = 2**24
"""Of the gradients that are one vector, unless a single one has more: what it takes is room for a few of these."""


def clip_adaptively(parameters: Iterable[Tensor], share: float) -> None:
    """Scale the gradients, in place.

    Args:
        parameters: those without a gradient are left alone.
        share: lambda, more than 0.
    """
    weights = list(parameters)
    if any(w.device.type != "cpu" for w in weights):
        clip_together(weights, share)
    else:
        adaptive_clip_grad(weights, share, EPS)


@torch.no_grad()
def clip_together(parameters: Iterable[Tensor], share: float) -> None:
    """As `clip_adaptively`, in few operators."""
    for weights in _parts([p for p in parameters if p.grad is not None]):
        gradients = [p.grad for p in weights if p.grad is not None]
        sizes = _unit_sizes(tuple(w.shape for w in weights), weights[0].device)
        most = _norms(weights, sizes).clamp_(min=EPS).mul_(share)
        norms = _norms(gradients, sizes)
        scale = torch.where(norms < most, 1.0, most / norms.clamp(min=_SMALLEST))
        total = sum(g.numel() for g in gradients)
        scales = scale.repeat_interleave(sizes, output_size=total).split([g.numel() for g in gradients])
        torch._foreach_mul_(gradients, [part.view(g.shape) for part, g in zip(scales, gradients, strict=True)])


def _parts(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """In order, of one device and dtype each and of not too many values."""
    part: list[Tensor] = []
    values = 0
    for w in weights:
        alike = not part or (w.device, w.dtype) == (part[0].device, part[0].dtype)
        if part and (not alike or values + w.numel() > _MOST_VALUES):
            yield part
            part, values = [], 0
        part.append(w)
        values += w.numel()
    if part:
        yield part


@lru_cache(maxsize=64)
def _unit_sizes(shapes: tuple[torch.Size, ...], device: torch.device) -> Tensor:
    """Values of each unit of weights of these shapes: made once, as a copy to a GPU is waited for."""
    sizes = ([shape.numel()] if len(shape) <= 1 else [shape[1:].numel()] * shape[0] for shape in shapes)
    return torch.tensor([*chain.from_iterable(sizes)], device=device)


def _norms(tensors: Sequence[Tensor], sizes: Tensor) -> Tensor:
    """Of each unit."""
    flat = torch.cat([t.reshape(-1) for t in tensors])
    flat *= flat
    squares = torch.segment_reduce(flat, "sum", lengths=sizes, unsafe=True)  # a check of them would be waited for
    return squares.sqrt_()

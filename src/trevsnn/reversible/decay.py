"""The decay of the key neurons and its gradient, without keeping membrane potentials.

One level of the grid obeys, channel by channel,

    h[t] = alpha[t] * h[t-1] + f[t]        h[-1] = 0

so with g[t] = dL/dh[t], the gradient of f[t] is g[t] and that of h[t-1] gains alpha[t] * g[t]: neither
needs h. Only the gradient of alpha does, dL/d alpha[t] = <g[t], h[t-1]> (summed over all but the
channels). f[t] is recomputed in the backward pass anyway, and one of two ways to use it does the rest
(`trevsnn.reversible.decay_gradient`):

- **one alpha for all steps**: exchanging the sums gives dL/d alpha = sum_k <f[k], G[k]> with
  G[k-1] = g[k] + alpha * G[k]: no h at all, no division.
- **one alpha per step**: h[t-1] = (h[t] - f[t]) / alpha[t], from the last step downwards. Each step multiplies
  the error by 1 / alpha[t], so the forward pass runs the recursion a second time in more precision (the
  `Shadow`) and the reconstruction starts from that: at alpha = 0.5 it keeps fp32's precision for some
  sixteen steps. Where it would not, in channels with a tiny alpha or a long time, the shadow's h[t-1] was kept in the
  forward pass (an anchor) and replaces the reconstruction. An anchor is not the fp32 h, whose rounding the
  steps before it would amplify.

Both run one buffer (G, or h) backwards through time. It travels as the "gradient" of a token, a zero
that takes no memory, handed from step t-1 to step t in the forward pass: no state outside autograd, so
repeated backward passes over one graph work.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trevsnn.reversible.shadow import Shadow, channels_at_end

MAX_ERROR = 5.0
"""Bound on each of the two errors of `anchor_channels` (root mean square, in roundings of h: 3e-8 of h in fp32)."""


def per_channel(alpha: Tensor, dim: int) -> Tensor:
    """alpha, shape (C,), as it multiplies a membrane potential (N, C, ...) of `dim` dimensions."""
    return alpha.reshape(alpha.shape + (1,) * (dim - 2))


def expand_decay(alpha: Tensor, like: Tensor) -> Tensor:
    """alpha, shape (C,) or (), in shape (C,) and the dtype of like (N, C, ...).

    Raises:
        ValueError: when alpha has another number of channels.
    """
    channels = like.shape[1]
    if alpha.dim() and len(alpha) != channels:
        raise ValueError(
            f"a decay of {len(alpha)} channels does not fit its cell, which returns {tuple(like.shape)}; "
            f"give it the shape ({channels},), or () for one value"
        )
    return alpha.to(like.dtype).expand(channels)


def leak(alpha: Tensor, previous: Tensor | None, f: Tensor) -> Tensor:
    """h[t] = alpha * h[t-1] + f[t], never f[t] itself, which its cell may keep and change; previous=None: h[-1] = 0.

    Raises:
        ValueError: when f has another shape than h[t-1].
    """
    if previous is None:
        return f.clone()
    if f.shape != previous.shape:
        raise ValueError(
            f"the cells of a level must return one shape at every step: {tuple(f.shape)} follows "
            f"{tuple(previous.shape)}"
        )
    return torch.addcmul(f, per_channel(alpha, f.dim()), previous)


class Anchor(NamedTuple):
    """The shadow of h[t-1], of some channels alone."""

    data: Tensor
    """Of the `Shadow`."""
    channels: Tensor
    """Their indices."""


class ShadowedLevel:
    """A level's membrane potentials in more precision, as they advance in the forward pass, outside autograd.

    Args:
        decays: of the level, one per step.
    """

    def __init__(self, decays: Sequence[Tensor]):
        self.decays = decays
        self._shadow: Shadow | None = None
        self._anchored: list[Tensor | None] = []

    @property
    def data(self) -> Tensor:
        """Of the shadow of the last step so far."""
        assert self._shadow is not None, "after a step"
        return self._shadow.data

    def advance(self, alpha: Tensor, f: Tensor) -> None:
        """To h[t] = alpha * h[t-1] + f."""
        shadow, first = self._shadow or Shadow.like(f), self._shadow is None
        f = channels_at_end(f)
        for part in shadow.chunks():
            h = f[part].double()
            shadow.write(part, h if first else shadow.read(part).mul_(alpha).add_(h))
        self._shadow = shadow

    def anchor(self, t: int, membrane: Tensor) -> Anchor | None:
        """What must be kept of h[t-1] at step t; the shadow restarts there from `membrane`, the fp32 h[t-1]."""
        assert self._shadow is not None, "as old as the membrane"
        if not self._anchored:
            alphas = [expand_decay(alpha, membrane) for alpha in self.decays]
            self._anchored = anchor_channels(alphas, membrane.dtype)
        channels = self._anchored[t]
        if channels is None:
            return None
        channels = channels.to(membrane.device)
        anchor = Shadow.like(membrane[:, :1].expand(-1, len(channels), *membrane.shape[2:]))
        membrane = channels_at_end(membrane)
        for part in self._shadow.chunks():
            h = self._shadow.read(part)
            anchor.write(part, h.index_select(-1, channels))
            restart = membrane[part].index_select(-1, channels)
            self._shadow.write(part, h.index_copy_(-1, channels, restart.double()))
        return Anchor(anchor.data, channels)


def anchor_channels(alphas: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor | None]:
    """For each step t, the channels whose h[t-1] must be kept (indices, on CPU; None: no channel).

    Two errors grow away from an anchor: forwards in time the rounding of h itself, which the shadow does
    not follow, and backwards the rounding of the reconstruction, amplified by 1 / alpha.

    Args:
        alphas: the decay of each step, each of shape (C,).
        dtype: of the membrane potentials. Those in 16 bits are too coarse to reconstruct at all.
    """
    limit = MAX_ERROR**2 if torch.finfo(dtype).bits >= 32 else 0.0
    rounding = (Shadow.precision(dtype) / torch.finfo(dtype).eps) ** 2
    squares = torch.stack([alpha.detach().double() for alpha in alphas]).square().cpu()
    anchored = torch.zeros_like(squares, dtype=torch.bool)
    drift = torch.zeros_like(squares[0])  # variance of h[t-1] against the shadow, in squared roundings of h
    for t in range(1, len(alphas)):
        anchored[t] = drift > limit
        drift = drift.masked_fill(anchored[t], 0.0) * squares[t] + 1
    error = torch.zeros_like(squares[0])  # variance of the reconstructed h[t-1] against the shadow
    for t in range(len(alphas) - 1, 0, -1):
        error = (error + rounding) / squares[t]
        anchored[t] |= error > limit
        error = error.masked_fill(anchored[t], 0.0)
    return [row.nonzero().flatten() if row.any() else None for row in anchored]

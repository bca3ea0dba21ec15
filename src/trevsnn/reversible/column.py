"""One level of the grid on its way through the steps, in either kind of memory.

A column advances by `step` and then shows the level's `membrane` and `spikes`. `StoredColumn` is plain
autograd; `ReversibleColumn` is the same graph, in which every cell runs again in the backward pass.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from trevsnn.neurons import dense, spike
from trevsnn.reversible.codes import SpikeCode, decoded
from trevsnn.reversible.decay import (
    Leak,
    LeakGradient,
    Release,
    anchor_channels,
    expand_decay,
    leak,
)
from trevsnn.reversible.replay import ReplayableModule, recompute
from trevsnn.reversible.shadow import Shadow, channels_at_end
from trevsnn.reversible.slices import Sliced
from trevsnn.reversible.tap import Collect, Reconstruct, Tap

Spikes = Tensor | SpikeCode


class StoredColumn:
    """One level, as plain autograd operations.

    Args:
        cells, decays: of this level, one per step.
        level: its number, from 0.
        watched: whether what runs again is compared with the first run.
    """

    membrane: Tensor  # from the first step on
    spikes: Spikes

    def __init__(
        self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter], level: int = 0, watched: bool = True
    ):
        self.cells = cells
        self.decays = decays
        self.level = level
        self.watched = watched

    def name(self, t: int) -> str:
        """What to call the cell of step t in messages."""
        return f"cells[{t}][{self.level}] ({type(self.cells[t]).__name__}: step {t}, level {self.level})"

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        """Advance membrane and spikes to step t; steps come in order."""
        f = self.cells[t](decoded(below), None if above is None else decoded(above))
        f = _membrane_precision(f.run() if isinstance(f, Sliced) else f, self.decays[t], self.name(t))
        self.membrane = leak(expand_decay(self.decays[t], f), self.membrane if t else None, f)
        self.spikes = spike(self.membrane)

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence["StoredColumn"]) -> list[Tensor]:
        """The outputs as the grid returns them."""
        return outputs


class ReversibleColumn(StoredColumn):
    """One level, keeping codes of spikes and running its cells again."""

    def __init__(
        self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter], level: int = 0, watched: bool = True
    ):
        super().__init__(cells, decays, level, watched)
        learned = any(alpha.requires_grad for alpha in decays[1:])
        shared = all(alpha is decays[0] for alpha in decays)
        self.collects = learned and shared
        self.reconstructs = learned and not shared
        self.token: Tensor | None = None
        self.shadow: Shadow | None = None  # the membrane in more precision, where it is reconstructed
        self.anchors: list[Tensor | None] = []

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        cell = ReplayableModule(self.cells[t], self.name(t), self.watched)
        decay, kind, anchor = self.decays[t], None, (None, None)
        if self.collects:
            kind = Collect
        elif self.reconstructs and t:
            kind, anchor = Reconstruct, self._anchor(t)
        fixed = decay.detach()  # its gradient is the tap's
        way_back = LeakGradient.apply(self.membrane, expand_decay(fixed, self.membrane)) if t else None
        f, self.token = recompute(_cell_and_tap, cell, kind, decay, below, above, self.token, *anchor)
        alpha = expand_decay(fixed, f)
        if self.reconstructs:
            self._advance_shadow(alpha, f.detach())
        self.membrane = Leak.apply(f, way_back, self.membrane.detach(), alpha) if t else leak(alpha, None, f)
        self.spikes = SpikeCode.encode(self.membrane)

    def _advance_shadow(self, alpha: Tensor, f: Tensor) -> None:
        """`leak` of the shadow, outside autograd."""
        shadow, first = self.shadow or Shadow.like(f), self.shadow is None
        f = channels_at_end(f)
        for samples in shadow.chunks():
            h = f[samples].double()
            shadow.write(samples, h if first else shadow.read(samples).mul_(alpha).add_(h))
        self.shadow = shadow

    def _anchor(self, t: int) -> tuple[Tensor | None, Tensor | None]:
        """The shadow of the channels that need an anchor at step t, and these channels; it restarts from h there."""
        membrane, shadow = self.membrane.detach(), self.shadow
        assert shadow is not None, "as old as the membrane"
        if not self.anchors:
            alphas = [expand_decay(alpha, membrane) for alpha in self.decays]
            self.anchors = anchor_channels(alphas, membrane.dtype)
        channels = self.anchors[t]
        if channels is None:
            return None, None
        channels = channels.to(membrane.device)
        anchor = Shadow.like(membrane[:, :1].expand(-1, len(channels), *membrane.shape[2:]))
        membrane = channels_at_end(membrane)
        for samples in shadow.chunks():
            h = shadow.read(samples)
            anchor.write(samples, h.index_select(-1, channels))
            restart = membrane[samples].index_select(-1, channels)
            shadow.write(samples, h.index_copy_(-1, channels, restart.double()))
        return anchor.data, channels

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence[StoredColumn]) -> list[Tensor]:
        waiting = [c for c in columns if isinstance(c, ReversibleColumn) and c.reconstructs]
        tokens, shadows = [c.token for c in waiting], [c.shadow.data for c in waiting if c.shadow]
        return list(Release.apply(len(outputs), *outputs, *tokens, *shadows))


def _cell_and_tap(
    cell: ReplayableModule,
    kind: type[Collect] | type[Reconstruct] | None,
    decay: nn.Parameter,
    below: Spikes,
    above: Spikes | None,
    *token_and_anchor: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """What runs again in the backward pass. It holds no column: its tensors would live as long as the graph."""
    replaying = cell.replaying
    f = cell(decoded(below), None if above is None else decoded(above))
    rest, tensors = None, (f,)
    if isinstance(f, Sliced):
        body, tensors = f.body, (*f.samples, *f.shared)
        rest = replace(f, body=lambda samples, shared: _membrane_precision(body(samples, shared), decay, cell.name))
    elif kind is None:
        return _membrane_precision(f, decay, cell.name), None
    else:
        tensors = (_membrane_precision(f, decay, cell.name),)
    name = cell.name if cell.watched else None
    f, token = Tap.apply(kind, rest, replaying, name, decay, *token_and_anchor, *tensors)
    return f, None if kind is None else token


def _membrane_precision(f: Tensor, alpha: Tensor, cell: str) -> Tensor:
    """f in alpha's precision at least: membrane potentials stay fp32 under autocast.

    Raises:
        TypeError: when the cell did not return a tensor (N, C, ...).
    """
    if not isinstance(f, Tensor):
        raise TypeError(
            f"{cell} returned {type(f).__name__}; a cell returns one tensor (N, C, ...), or `Sliced`: what else "
            "it makes, a state for example, it can keep in an attribute"
        )
    if f.dim() < 2:
        raise ValueError(f"{cell} returned a tensor of shape {tuple(f.shape)}; a cell returns (N, C, ...)")
    return dense(f.to(torch.promote_types(f.dtype, alpha.dtype)))

"""One level of the grid on its way through the steps, in either memory setting.

A column advances by `step` and then shows the level's `membrane` and `spikes`. `StoredColumn` is plain
autograd; `ReversibleColumn` is the same graph, in which every cell runs again in the backward pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trevsnn.neurons import spike
from trevsnn.reversible.codes import SpikeCode, decoded, dense
from trevsnn.reversible.decay import (
    Release,
    SharedDecayTap,
    StepDecayTap,
    anchor_channels,
    expand_decay,
    leak,
    shadow_leak,
)
from trevsnn.reversible.replay import ReplayableModule, recompute

Spikes = Tensor | SpikeCode


class StoredColumn:
    """One level, as plain autograd operations.

    Args:
        cells, decays: of this level, one per step.
    """

    membrane: Tensor  # from the first step on
    spikes: Spikes

    def __init__(self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter]):
        self.cells = cells
        self.decays = decays

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        """Advance membrane and spikes to step t; steps come in order."""
        f = _membrane_precision(self.cells[t](below, above), self.decays[t])
        self.membrane = leak(expand_decay(self.decays[t], f), self.membrane if t else None, f)
        self.spikes = spike(self.membrane)

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence["StoredColumn"]) -> list[Tensor]:
        """The outputs as the grid returns them."""
        return outputs


class ReversibleColumn(StoredColumn):
    """One level, keeping codes of spikes and running its cells again."""

    def __init__(self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter]):
        super().__init__(cells, decays)
        learned = any(alpha.requires_grad for alpha in decays[1:])
        shared = all(alpha is decays[0] for alpha in decays)
        self.collects = learned and shared
        self.reconstructs = learned and not shared
        self.token: Tensor | None = None
        self.shadow: Tensor | None = None  # the membrane in higher precision, where it is reconstructed
        self.anchors: list[Tensor | None] = []

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        cell, decay, tap, anchor = ReplayableModule(self.cells[t]), self.decays[t], None, ()
        if self.collects:
            tap = SharedDecayTap
        elif self.reconstructs and t:
            tap, anchor = StepDecayTap, self._anchor(t)
        f, self.token = recompute(_cell_and_tap, cell, tap, decay, below, above, self.token, *anchor)
        alpha = expand_decay(decay, f)
        if self.reconstructs:
            self.shadow = shadow_leak(alpha, self.shadow, f)
        if self.collects or self.reconstructs:
            alpha = alpha.detach()  # the tap has its gradient
        self.membrane = leak(alpha, self.membrane if t else None, f)
        self.spikes = SpikeCode.encode(self.membrane)

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
        anchor = shadow.index_select(1, channels)
        shadow.index_copy_(1, channels, membrane.index_select(1, channels).to(shadow.dtype))
        return anchor, channels

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence[StoredColumn]) -> list[Tensor]:
        waiting = [c for c in columns if isinstance(c, ReversibleColumn) and c.reconstructs]
        tokens, shadows = [c.token for c in waiting], [c.shadow for c in waiting]
        return list(Release.apply(len(outputs), *outputs, *tokens, *shadows))


def _cell_and_tap(cell, tap, decay, below, above, *rest) -> tuple[Tensor, Tensor | None]:
    """What runs again in the backward pass. It holds no column: its tensors would live as long as the graph."""
    f = _membrane_precision(cell(decoded(below), None if above is None else decoded(above)), decay)
    return (f, None) if tap is None else tap.apply(f, expand_decay(decay, f), *rest)


def _membrane_precision(f: Tensor, alpha: Tensor) -> Tensor:
    """f in alpha's precision at least: membrane potentials stay fp32 under autocast."""
    return dense(f.to(torch.promote_types(f.dtype, alpha.dtype)))

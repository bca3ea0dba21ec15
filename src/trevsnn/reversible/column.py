"""One level of the grid on its way through the steps, in either kind of memory.

A column advances by `step` and then shows the level's `membrane` and `spikes`. `StoredColumn` is plain
autograd; `ReversibleColumn` is the same graph, in which every cell runs again in the backward pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from trevsnn.neurons import Neuron, dense
from trevsnn.reversible.codes import SpikeCode, decoded
from trevsnn.reversible.decay import Anchor, ShadowedLevel, expand_decay, leak
from trevsnn.reversible.decay_gradient import DecayGradient, Exchanged, Fixed, Reconstructed
from trevsnn.reversible.nodes import Leak, LeakGradient, Release, tap
from trevsnn.reversible.replay import ReplayableModule, recompute
from trevsnn.reversible.slices import Sliced

Spikes = Tensor | SpikeCode


class Column(ABC):
    """One level.

    Args:
        cells, decays: of this level, one per step.
        neuron: of this level.
        level: its number, from 0.
        check_replay: compare what runs again with the first run.
    """

    membrane: Tensor  # from the first step on
    spikes: Spikes

    def __init__(
        self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter], neuron: Neuron, level: int, check_replay: bool
    ):
        self.cells = cells
        self.decays = decays
        self.neuron = neuron
        self.level = level
        self.check_replay = check_replay

    def name(self, t: int) -> str:
        """What to call the cell of step t in messages."""
        return f"cells[{t}][{self.level}] ({type(self.cells[t]).__name__}: step {t}, level {self.level})"

    @abstractmethod
    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        """Advance membrane and spikes to step t; steps come in order."""

    @property
    def shadow(self) -> Tensor | None:
        """What the membrane potentials of earlier steps are reconstructed from, where they are."""
        return None

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence["Column"]) -> list[Tensor]:
        """The outputs as the grid returns them."""
        return outputs


class StoredColumn(Column):
    """As plain autograd operations."""

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        f = self.cells[t](decoded(below), None if above is None else decoded(above))
        f = _membrane_precision(f.run() if isinstance(f, Sliced) else f, self.decays[t], self.name(t))
        self.membrane = leak(expand_decay(self.decays[t], f), self.membrane if t else None, f)
        self.spikes = self.neuron(self.membrane)


class ReversibleColumn(Column):
    """Keeping codes of spikes and running its cells again."""

    def __init__(
        self, cells: Sequence[nn.Module], decays: Sequence[nn.Parameter], neuron: Neuron, level: int, check_replay: bool
    ):
        super().__init__(cells, decays, neuron, level, check_replay)
        learned = any(alpha.requires_grad for alpha in decays[1:])
        shared = all(alpha is decays[0] for alpha in decays)
        self.token: Tensor | None = None
        self.kind: type[DecayGradient] = (Exchanged if shared else Reconstructed) if learned else Fixed
        self._shadowed = ShadowedLevel(decays) if self.kind is Reconstructed else None

    def step(self, t: int, below: Spikes, above: Spikes | None) -> None:
        cell = ReplayableModule(self.cells[t], self.name(t), self.check_replay)
        anchor = self._shadowed.anchor(t, self.membrane.detach()) if self._shadowed and t else None
        kind = Fixed if self._shadowed and not t else self.kind  # nothing is before step 0
        decay = self.decays[t].detach()  # its gradient is the tap's
        way_back = LeakGradient.apply(self.membrane, expand_decay(decay, self.membrane)) if t else None
        f, self.token = recompute(_cell_and_tap, cell, kind, self.decays[t], below, above, self.token, anchor)
        alpha = expand_decay(decay, f)
        if self._shadowed:
            self._shadowed.advance(alpha, f.detach())
        self.membrane = Leak.apply(f, way_back, self.membrane.detach(), alpha) if t else leak(alpha, None, f)
        self.spikes = SpikeCode.encode(self.membrane, self.neuron)

    @property
    def shadow(self) -> Tensor | None:
        return self._shadowed and self._shadowed.data

    @staticmethod
    def release(outputs: list[Tensor], columns: Sequence[Column]) -> list[Tensor]:
        waiting = [c for c in columns if isinstance(c, ReversibleColumn) and c.shadow is not None]
        return list(Release.apply(len(outputs), *outputs, *(c.token for c in waiting), *(c.shadow for c in waiting)))


def _cell_and_tap(
    cell: ReplayableModule,
    kind: type[DecayGradient],
    decay: nn.Parameter,
    below: Spikes,
    above: Spikes | None,
    token: Tensor | None,
    anchor: Anchor | None,
) -> tuple[Tensor, Tensor | None]:
    """What runs again in the backward pass. It holds no column: its tensors would live as long as the graph."""
    replaying = cell.replaying
    f = cell(decoded(below), None if above is None else decoded(above))
    if isinstance(f, Sliced):
        body = f.body
        f = replace(f, body=lambda samples, shared: _membrane_precision(body(samples, shared), decay, cell.name))
    else:
        f = _membrane_precision(f, decay, cell.name)
        if kind is Fixed:
            return f, None
    compared = cell.name if cell.watched else None
    f, token = tap(f, decay, token, anchor, kind=kind, replaying=replaying, compared=compared)
    return f, None if kind is Fixed else token


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

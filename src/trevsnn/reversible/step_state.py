"""What a readout or an observer sees of a grid after a step."""

from collections.abc import Sequence

from torch import Tensor

from trevsnn.reversible.codes import SpikeCode, decoded
from trevsnn.reversible.column import Column


class StepState:
    """What a readout sees after step `t` (counted from 0): every level's membrane potentials and spikes.

    `membranes[l]` is h_l[t], (N, C_l, ...). A readout that is linear in it, a mean for example, keeps
    nothing for the backward pass; others keep what their operators save.
    """

    def __init__(
        self, t: int, membranes: list[Tensor], spikes: Sequence[Tensor | SpikeCode], shadows: Sequence[Tensor] = ()
    ):
        self.t = t
        self.membranes = membranes
        self.shadows = shadows
        """What `"reversible"` keeps to reconstruct potentials from, of each level that needs it, as bytes."""
        self._spikes = spikes

    @classmethod
    def of(cls, t: int, columns: Sequence[Column]) -> "StepState":
        """The state of columns that are at step t."""
        shadows = [column.shadow for column in columns if column.shadow is not None]
        return cls(t, [column.membrane for column in columns], [column.spikes for column in columns], shadows)

    def spikes(self, level: int = -1) -> Tensor:
        """Spikes of one level, 0 or 1, (N, C_l, ...)."""
        return decoded(self._spikes[level])

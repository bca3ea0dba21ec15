"""The time grid: T subnetworks of L levels whose key neurons are the only memory through time.

    h_l[t] = alpha_l[t] * h_l[t-1] + cell_l[t](below, above)          h_l[-1] = 0
    below  = the input of step t (l = 0), else spike(h_{l-1}[t])
    above  = spike(h_{l+1}[t-1]), None at t = 0 and for the last level

The grid is an ordinary autograd graph in every memory setting. `"stored"` is that graph as PyTorch
builds it: O(L x T) floats. `"packed"` is it too, with bits in place of the spikes that operators save
(`trevsnn.neurons.packing`). `"reversible"` keeps the same graph but of every cell saves only the 2-bit
codes of the spikes it received, and runs the cell again in the backward pass: O(L) floats, plus T x 2 bits
per key neuron and the anchors of `trevsnn.reversible.decay`. A cell receives spikes, never h, and a
code holds its neuron's spike and surrogate gradient without loss, so the second run repeats the first and
all gradients are those of `"stored"`, bit for bit; only alpha's is computed another way in `"reversible"`, within
1e-5.

Source: Hu et al., ICML 2024, equation of the multi-level temporal-reversible update.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trevsnn.neurons import Neuron
from trevsnn.reversible.codes import decoded
from trevsnn.reversible.column import Column, ReversibleColumn, StoredColumn
from trevsnn.reversible.inputs import check_batch, input_of_steps
from trevsnn.reversible.memory import Memory, check_memory, keeping, keeps_everything
from trevsnn.reversible.replay import refuse_unrepeatable
from trevsnn.reversible.step_state import StepState

Decays = Sequence[float | nn.Parameter] | Sequence[Sequence[float | nn.Parameter]]
Readout = Callable[[StepState], Tensor | None]
"""What `ReversibleGrid` calls after every step: a tensor to be returned, or None."""


class ReversibleGrid(nn.Module):
    """A staged network run over T steps with temporal memory only in its key neurons.

    Args:
        cells: `cells[t][l]`, any modules, called as `cell(below, above)`, where above may be None. They
            may be shared between steps (the same object repeated). All cells of a level return the same
            shape (N, C_l, ...).
        decays: `decays[t][l]`, or `decays[l]` for the same decay at every step; each a `nn.Parameter` of
            shape (C_l,) or (), learned, or a number, fixed. Any real value is allowed.
        memory: `"reversible"`, `"packed"` or `"stored"`; change it with `set_memory`.
        neuron: the key neurons; `Neuron()` by default.
        check_replay: in `"reversible"`, compare what every cell returns when it runs again with what it returned at
            first, and raise `trevsnn.reversible.ReplayError` in the backward pass where they differ.

    Raises:
        ValueError: for an empty or ragged grid, decays of another shape, or a cell that cannot be replayed.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> class Cell(nn.Module):
        ...     def __init__(self, below, width):
        ...         super().__init__()
        ...         self.linear = nn.Linear(below, width)
        ...     def forward(self, below, above=None):
        ...         return self.linear(below)
        >>> grid = ReversibleGrid([[Cell(4, 8), Cell(8, 6)] for _ in range(3)], decays=[0.5, 0.9])
        >>> (spikes,) = grid(torch.rand(2, 4))
        >>> spikes.shape
        torch.Size([2, 6])
    """

    memory: Memory
    """What a training step keeps."""

    def __init__(
        self,
        cells: Sequence[Sequence[nn.Module]],
        decays: Decays,
        memory: str = "reversible",
        neuron: Neuron | None = None,
        check_replay: bool = True,
    ):
        super().__init__()
        steps, levels = len(cells), len(cells[0]) if cells else 0
        if not levels or any(len(row) != levels for row in cells):
            raise ValueError(
                f"cells must be T >= 1 rows of the same number L >= 1 of modules, got {[len(r) for r in cells]}"
            )
        self.cells = nn.ModuleList(nn.ModuleList(row) for row in cells)
        self.decays = nn.ModuleList(nn.ParameterList(row) for row in _decay_rows(decays, steps, levels))
        self.neuron = neuron or Neuron()
        self.check_replay = check_replay
        self._observers: list[Callable[[StepState], object]] = []
        self._cut = False
        self.set_memory(memory)

    @property
    def timesteps(self) -> int:
        """T, the number of steps."""
        return len(self.cells)

    @property
    def levels(self) -> int:
        """L, the number of levels."""
        return len(self.cells[0])  # type: ignore[arg-type]

    def set_memory(self, memory: str) -> None:
        """Choose what a training step keeps: `"reversible"`, `"packed"` or `"stored"`.

        Raises:
            ValueError: for another name, or a cell that the setting cannot run.
        """
        setting = check_memory(memory)
        if setting == "reversible":
            refuse_unrepeatable(self)
        self.memory = setting

    @contextmanager
    def observe(self, see: Callable[[StepState], object]) -> Iterator[None]:
        """While it is active, `see` is called with the `StepState` after every step, before the readout.

        What it does is part of the graph, where there is one; it may not change the state.

        Examples:
            >>> grid = ReversibleGrid([[nn.Linear(4, 8)]] * 3, decays=[0.5])  # doctest: +SKIP
            >>> with grid.observe(lambda state: print(state.t, state.spikes().mean())):  # doctest: +SKIP
            ...     grid(torch.rand(2, 4))
        """
        self._observers.append(see)
        try:
            yield
        finally:
            self._observers.remove(see)

    @contextmanager
    def without_temporal_gradient(self) -> Iterator[None]:
        """While it is active, a step sees the potentials and spikes of the step before as constants.

        Raises:
            ValueError: unless memory is "stored".
        """
        if self.memory != "stored":
            raise ValueError(f"memory={self.memory!r}: the temporal gradient can be cut with memory='stored' only")
        self._cut = True
        try:
            yield
        finally:
            self._cut = False

    def extra_repr(self) -> str:
        return f"timesteps={self.timesteps}, levels={self.levels}, memory={self.memory!r}"

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor] | None = None,
        readout: Readout | None = None,
        *,
        constant: Tensor | None = None,
        frames: Tensor | Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Run all steps.

        What level 0 receives is passed on as it is, floats included: `constant` or `frames`.

        Args:
            inputs: the one or the other where it is clear which: a sequence of T tensors are frames, a tensor is a
                constant if it is one of vectors, (N, C), or has as many dimensions as the convolutions of level 0 want.
            readout: called after every step with a `StepState`; returns a tensor (N, ...) to be returned,
                or None. By default the spikes of the last level after the last step. It may not change
                the state. Compute losses from what the grid returns, not from tensors that a readout put
                aside.
            constant: one tensor (N, ...), given at every step.
            frames: one a step, as a tensor (T, N, ...) or T tensors (N, ...).

        Returns:
            What the readout returned, in order. A sample whose membrane potentials are not finite after
            the last step comes out as NaN (a spike would hide it).

        Raises:
            ValueError: when inputs may be the one or the other, the number of frames is not T, or their batches differ
                in size.
            ReplayError: in the backward pass of `"reversible"`, when a cell gave another result when it ran again.
        """
        steps = input_of_steps(inputs, constant, frames, self.cells)
        if keeps_everything(self.memory):
            return self._run(StoredColumn, steps, readout or self._last_spikes)
        return self._run_uncompiled(steps, readout or self._last_spikes)  # type: ignore[call-arg]

    @torch.no_grad()
    def step(self, t: int, frame: Tensor, membranes: Sequence[Tensor] | None = None) -> StepState:
        """One step of inference, for inputs that come one by one.

        Args:
            t: which step, from 0.
            frame: the input of this step.
            membranes: the potentials after the step before, None at step 0.

        Returns:
            The state after this step; its membranes are all that the next one needs.

        Raises:
            ValueError: for a step that there is not, or potentials missing, too many or of another batch.
        """
        if not 0 <= t < self.timesteps:
            raise ValueError(f"t={t} is not a step of a grid of {self.timesteps}")
        if (membranes is None) != (t == 0) or len(membranes or ()) not in (0, self.levels):
            raise ValueError(
                f"membranes must hold the potentials of {self.levels} levels after step 0, and be None there"
            )
        for level, membrane in enumerate(membranes or ()):
            check_batch(f"membranes[{level}]", membrane, frame)
        columns = self._columns(StoredColumn)
        for column, membrane in zip(columns, membranes or (), strict=False):
            column.membrane = membrane
            column.spikes = self.neuron(membrane)
        self._advance(columns, t, frame)
        return StepState.of(t, columns)

    @torch.compiler.disable
    def _run_uncompiled(self, steps: Sequence[Tensor], readout: Readout) -> list[Tensor]:
        """What runs again must repeat the first run to the bit, which two compiled forms of one function need not."""
        with keeping(self.memory):
            return self._run(ReversibleColumn if self.memory == "reversible" else StoredColumn, steps, readout)

    def _run(self, kind: type[Column], steps: Sequence[Tensor], readout: Readout) -> list[Tensor]:
        columns = self._columns(kind)
        outputs = []
        for t, below in enumerate(steps):
            self._advance(columns, t, below)
            state = StepState.of(t, columns)
            for see in self._observers:
                see(state)
            output = readout(state)
            if output is not None:
                outputs.append(output)
        outputs = kind.release(outputs, columns)
        alarm = self._not_finite(columns) + self._gradient_of_first_decays()
        return [output + alarm.to(output.dtype).reshape(-1, *[1] * (output.dim() - 1)) for output in outputs]

    def _columns(self, kind: type[Column]) -> list[Column]:
        cells: Any = self.cells
        decays: Any = self.decays
        return [
            kind([row[level] for row in cells], [row[level] for row in decays], self.neuron, level, self.check_replay)
            for level in range(self.levels)
        ]

    def _advance(self, columns: Sequence[Column], t: int, frame: Tensor) -> None:
        """All levels of one step, in order."""
        for level, column in enumerate(columns):
            below = columns[level - 1].spikes if level else frame
            above = columns[level + 1].spikes if t and level + 1 < self.levels else None
            if self._cut and t:
                column.membrane = column.membrane.detach()
                above = decoded(above).detach() if above is not None else None
            column.step(t, below, above)

    def _last_spikes(self, state: StepState) -> Tensor | None:
        return state.spikes() if state.t == self.timesteps - 1 else None

    def _not_finite(self, columns: Sequence[Column]) -> Tensor:
        """(N,): 0, or NaN for a sample with a membrane potential that is NaN or infinite."""
        sums = [h.detach().sum(dim=list(range(1, h.dim()))) for h in (c.membrane for c in columns)]
        return torch.stack(sums).sum(0) * 0

    def _gradient_of_first_decays(self) -> Tensor:
        """0, through which the decays of step 0, which multiply h[-1] = 0, receive the gradient that they have: 0."""
        first_decays: nn.ParameterList = self.decays[0]  # type: ignore[assignment]
        return torch.stack([alpha.sum() * 0 for alpha in first_decays]).sum()


def _decay_rows(decays: Decays, steps: int, levels: int) -> list[list[nn.Parameter]]:
    """decays[t][l] as parameters; a decay given once for all steps is one parameter in every row."""
    per_step = any(_is_row(entry) for entry in decays)
    rows: Any = decays if per_step else [decays]
    if (per_step and len(rows) != steps) or not all(_is_row(row) and len(row) == levels for row in rows):
        raise ValueError(
            f"decays must be {levels} values, or {steps} rows of {levels}, as cells has {steps} rows of {levels}"
        )
    parameters = [[_as_parameter(decay) for decay in row] for row in rows]
    return parameters if per_step else parameters * steps


def _is_row(entry: object) -> bool:
    return isinstance(entry, Iterable) and not isinstance(entry, Tensor)


def _as_parameter(decay: float | nn.Parameter) -> nn.Parameter:
    if isinstance(decay, nn.Parameter):
        if decay.dim() > 1:
            raise ValueError(f"a decay of shape {tuple(decay.shape)} must have shape (C,) or ()")
        return decay
    if not isinstance(decay, (float, int)):
        raise ValueError(f"a decay must be an nn.Parameter or a number, not {type(decay).__name__}")
    return nn.Parameter(torch.tensor(float(decay)), requires_grad=False)

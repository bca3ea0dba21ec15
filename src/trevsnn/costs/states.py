"""Watching the states of a network while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from trevsnn.models import TRevSNN
from trevsnn.reversible import StepState


@contextmanager
def watching_states(model: TRevSNN, note: Callable[[StepState], None]) -> Iterator[None]:
    """Calls `note` with the state of all levels after every step of the network."""

    def with_note(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, readout = args

        def noting(state: StepState) -> Tensor | None:
            note(state)
            return (readout or model.grid._last_spikes)(state)

        return inputs, noting

    handle = model.grid.register_forward_pre_hook(with_note)
    try:
        yield
    finally:
        handle.remove()

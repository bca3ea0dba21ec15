"""What level 0 of a grid receives at each step: one constant, or frames."""

from collections.abc import Sequence

from torch import Tensor, nn


def input_of_steps(
    given: Tensor | Sequence[Tensor] | None,
    constant: Tensor | None,
    frames: Tensor | Sequence[Tensor] | None,
    cells: nn.ModuleList,
) -> list[Tensor]:
    """T tensors (N, ...), from the one argument that was given (see `ReversibleGrid.forward`).

    Raises:
        ValueError: for none or several arguments, another number of frames than T, batches of other sizes, or a
            tensor that may be a constant or frames.
    """
    timesteps = len(cells)
    if sum(x is not None for x in (given, constant, frames)) != 1:
        raise ValueError(
            "give the input of a grid once: constant=x, the same at every step, or frames=clip, one a step"
        )
    if isinstance(given, Tensor):
        _refuse_ambiguous(given, timesteps, cells[0][0])  # type: ignore[index]
        constant = given
    if constant is not None:
        return [constant] * timesteps
    steps = list(frames if given is None else given)  # type: ignore[arg-type]
    name = "inputs" if frames is None else "frames"
    if len(steps) != timesteps:
        raise ValueError(f"{name} holds {len(steps)} tensors, but the grid has {timesteps} timesteps")
    for t, frame in enumerate(steps):
        check_batch(f"{name}[{t}]", frame, steps[0])
    return steps


def check_batch(name: str, x: Tensor, like: Tensor) -> None:
    """Refuse another number of samples.

    Raises:
        ValueError: unless x has as many as like.
    """
    if x.shape[:1] != like.shape[:1]:
        raise ValueError(
            f"{name} of shape {tuple(x.shape)} and an input of shape {tuple(like.shape)} are of batches of other "
            "sizes: give all steps the same samples"
        )


def _refuse_ambiguous(x: Tensor, timesteps: int, cell: nn.Module) -> None:
    """A clip must not be taken for one input, whose samples were its frames: most layers would take it."""
    if x.dim() <= 2 or x.dim() in _dimensions_of_convolutions(cell):
        return
    raise ValueError(
        f"an input of shape {tuple(x.shape)} may be {len(x)} samples, the same at all {timesteps} steps, or {len(x)} "
        "frames: call the grid with constant=x, or with frames=x"
    )


def _dimensions_of_convolutions(cell: nn.Module) -> set[int]:
    """Of their inputs, batch and channels included."""
    return {len(m.kernel_size) + 2 for m in cell.modules() if isinstance(m, nn.modules.conv._ConvNd)}
